import { FrameHost } from "../src/adapters/frame-host.ts";
import { installOpaqueWorker } from "../src/adapters/opaque-worker.ts";

// One shard in a process of its own. Everything arrives over ports that the host page hands in; an opaque origin has
// no storage and no extension API, and this page's CSP lets it load nothing from outside.
installOpaqueWorker(globalThis);

// The canary: when this process dies, the host page reads `frames.length` as 0, without any event.
const canary = document.createElement("iframe");
canary.hidden = true;
document.body.append(canary);

const host = new FrameHost(__FAULT_HOOKS__);
addEventListener("message", (event) => {
  if (event.source === window.parent) host.receive(event.data, event.ports);
});
parent.postMessage({ frame: "up" }, "*");
