import type { FromDriver, ToDriver } from "./adapters/bridge-protocol.ts";
import { isCall } from "./adapters/host-messages.ts";
import { WorkPort } from "./adapters/work-port.ts";
import { HoldfastError, toErrorData } from "./base/errors.ts";
import { BRIDGE_ORPHAN_CHECK_MS } from "./base/limits.ts";
import type { RpcMessage } from "./base/rpc.ts";
import type { Caller } from "./protocol/pool.ts";

// The extension's frame inside a web page. Its main thread, shared with all other bridges, only hands messages on; the
// driver runs in a worker. The page's origin is what the browser says it is.
const canary = document.createElement("iframe");
canary.hidden = true;
document.body.append(canary);

addEventListener("message", (event) => {
  const [port] = event.ports;
  if (event.source !== parent || parent === window || port === undefined || !isCall(event.data, "holdfast", "connect"))
    return;
  // A sandboxed page hands its sandbox down to this frame, which then has no extension API: the pool cannot be told from
  // here. Every other page without an origin (a data: URL, say) is refused by the pool, which logs it.
  if (globalThis.origin === "null") refuse(port);
  else void serve(port, event.origin);
});

/** Answers every call with PERMISSION_DENIED, and logs it in this frame's own console, out of the page's reach. */
function refuse(port: MessagePort): void {
  const reason =
    "Holdfast does not serve frames without an origin (sandboxed or data: frames); use a page of an http or https site.";
  console.warn(`PERMISSION_DENIED: ${reason} Asked for inside ${[...location.ancestorOrigins].join(" inside ")}.`);
  for (const frame of framesIn(top)) {
    // What has one frame in it may be a bridge, which has its canary. Only the extension's own frames hear this.
    if (frame !== window && frame.length === 1) frame.postMessage({ holdfast: "refused" }, location.origin);
  }
  port.onmessage = ({ data }: MessageEvent<RpcMessage>) => {
    if (data.rpc !== "call") return;
    const error = toErrorData(new HoldfastError("PERMISSION_DENIED", reason));
    port.postMessage({ rpc: "error", id: data.id, error } satisfies RpcMessage);
  };
}

/** All frames in a window, at whatever depth; of other origins too. */
function framesIn(window: Window | null): Window[] {
  const children = Array.from({ length: window?.length ?? 0 }, (_, at) => window?.[at]);
  return children.flatMap((child) => (child === undefined ? [] : [child, ...framesIn(child)]));
}

async function serve(port: MessagePort, origin: string): Promise<void> {
  const framedBy = [...location.ancestorOrigins].find((ancestor) => ancestor !== origin) ?? null;
  const bridgeId = await whoAmI();
  const driver = new Worker(new URL("./driver-worker.ts", import.meta.url), { type: "module" });
  const send = (message: ToDriver, ports: MessagePort[] = []): void => driver.postMessage(message, ports);
  const pool = new WorkPort(`bridge:${bridgeId}`, {
    onMessage: (message) => send({ to: "driver", pool: message }),
    onDisconnect: () => {
      leaveIfOrphaned();
      send({ to: "driver", poolLost: true });
    },
    // The driver calls again when it has work; without any, the service worker may sleep.
    reconnect: () => false,
  });
  pool.connect();
  setInterval(leaveIfOrphaned, BRIDGE_ORPHAN_CHECK_MS);
  // A pool that sleeps hears no port break: it is woken to see that this page goes.
  addEventListener("pagehide", () => pool.connect());
  driver.onmessage = ({ data, ports }: MessageEvent<FromDriver>) => {
    if ("pool" in data) pool.post(data.pool);
    else void navigator.serviceWorker.ready.then(({ active }) => active?.postMessage(data.carry, [...ports]));
  };
  // A sandboxed bridge around here refused its page and cannot say so itself. No answer is waited for: the driver's calls
  // count from 1. What any frame without an origin could say falsely, it could bring about as well.
  addEventListener("message", ({ data, origin: from }) => {
    if (from !== "null" || !isCall(data, "holdfast", "refused")) return;
    const params: Caller = { bridgeId, origin: from, framedBy: origin };
    pool.post({ rpc: "call", id: 0, method: "hello", params });
  });
  navigator.serviceWorker.addEventListener("message", ({ data }) => {
    if (isCall(data, "holdfast", "pool")) send({ to: "driver", pool: (data as { message: RpcMessage }).message });
  });
  send({ to: "driver", page: { bridgeId, origin, framedBy } }, [port]);
}

/**
 * An extension that was reloaded or updated leaves its old frames in the pages, without an API. Taking the canary away
 * tells the client library to put a new one in this one's place.
 */
function leaveIfOrphaned(): void {
  if (chrome.runtime?.id === undefined) canary.remove();
}

/** The service worker's name for this frame: the browser makes it, so nobody can take another's. */
async function whoAmI(): Promise<string> {
  const { active } = await navigator.serviceWorker.ready;
  return new Promise((resolve) => {
    const listen = ({ data }: MessageEvent): void => {
      if (!isCall(data, "holdfast", "you")) return;
      navigator.serviceWorker.removeEventListener("message", listen);
      resolve((data as { bridgeId: string }).bridgeId);
    };
    navigator.serviceWorker.addEventListener("message", listen);
    navigator.serviceWorker.startMessages();
    active?.postMessage({ holdfast: "who" });
  });
}
