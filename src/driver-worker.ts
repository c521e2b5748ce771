import type { ToDriver } from "./adapters/bridge-protocol.ts";
import { PageDriver } from "./adapters/page-driver.ts";
import { PLATFORM } from "./base/platform.ts";

// The driver of one page. A worker, because the bridge's main thread is shared and may be throttled.
const driver = new PageDriver((message, ports = []) => postMessage(message, { transfer: [...ports] }), PLATFORM);
self.onmessage = ({ data, ports }: MessageEvent<ToDriver>) => driver.receive(data, ports);
