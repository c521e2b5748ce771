import type { RpcMessage } from "../base/rpc.ts";
import type { Hold } from "../protocol/host.ts";
import { isCall } from "./host-messages.ts";
import type { FromKeeper, ToKeeper } from "./host-page-protocol.ts";
import { WorkPort } from "./work-port.ts";

/** Main thread of a host page: mounts frames, reads canaries on the keeper's tick, hands ports and messages on. */
export function startHostPage(place: "tab" | "offscreen"): void {
  const keeper = new Worker(new URL("../../offscreen/keeper-worker.ts", import.meta.url), { type: "module" });
  const frames = new Map<string, { frame: HTMLIFrameElement; up: boolean }>();
  const send = (message: ToKeeper, ports: MessagePort[] = []): void => keeper.postMessage(message, ports);

  // Keeps a tab from being frozen; only a lock of the main thread does (and only while the tab lives).
  void navigator.locks.request(`host-page-${crypto.randomUUID()}`, () => new Promise(() => undefined));

  // Where the permission for unlimited storage does not say so already: the models are to outlive a full disk.
  void navigator.storage.persist().catch(() => false);

  const pageId = place === "tab" ? (new URLSearchParams(location.search).get("host") ?? "") : "offscreen";
  const pool = new WorkPort(`host:${place}:${pageId}`, {
    onMessage: (message) => send({ to: "keeper", pool: message }),
    onConnect: () => send({ to: "keeper", hello: true }),
    // The pool may sleep; it asks for a report when it wakes, and a host speaks up when it has something to say.
    reconnect: () => false,
  });

  // Test build: a debugger holds a host in a phase, so that a fault can be aimed.
  const hooks = __FAULT_HOOKS__
    ? { held: [] as object[], hold: (hostId: string, hold: Hold | null) => send({ to: "keeper", hold, hostId }) }
    : null;
  if (hooks !== null) Object.assign(globalThis, { holdfastHooks: hooks });

  const mount = (hostId: string): void => {
    unmount(hostId);
    const frame = document.createElement("iframe");
    frame.allow = "cross-origin-isolated *; webnn *";
    frame.src = `host-frame.html?host=${encodeURIComponent(hostId)}`;
    frames.set(hostId, { frame, up: false });
    document.body.append(frame);
  };
  const unmount = (hostId: string): void => {
    frames.get(hostId)?.frame.remove();
    frames.delete(hostId);
  };
  const readCanaries = (): void => {
    for (const [hostId, { frame, up }] of frames) {
      if (up && frame.contentWindow?.length === 0) {
        unmount(hostId);
        send({ to: "keeper", frameGone: hostId });
      }
    }
  };

  addEventListener("message", (event) => {
    const found = [...frames].find(([, { frame }]) => frame.contentWindow === event.source);
    if (found === undefined || !isCall(event.data, "frame", "up")) return;
    const [hostId, entry] = found;
    entry.up = true;
    const { port1, port2 } = new MessageChannel();
    entry.frame.contentWindow?.postMessage({ frame: "keeper" }, "*", [port1]);
    send({ to: "keeper", frameUp: hostId }, [port2]);
  });

  keeper.onmessage = ({ data }: MessageEvent<FromKeeper>) => {
    if ("tick" in data) readCanaries();
    else if ("mount" in data) mount(data.mount);
    else if ("unmount" in data) unmount(data.unmount);
    else if ("held" in data) hooks?.held.push(data);
    else if ("title" in data) document.title = `Holdfast · ${data.title}`;
    else pool.post(data.pool);
  };

  // Orders of the pool, and ports from bridge frames that the service worker hands over.
  navigator.serviceWorker.onmessage = ({ data, ports }) => {
    if (isCall(data, "holdfast", "pool")) send({ to: "keeper", pool: (data as { message: RpcMessage }).message });
    if (isCall(data, "holdfast", "report")) pool.renew();
    if (isCall(data, "holdfast", "leave")) void leave();
    const { hostId } = data as { hostId: string };
    if (isCall(data, "holdfast", "wire"))
      frames.get(hostId)?.frame.contentWindow?.postMessage({ frame: "wire" }, "*", [...ports]);
    if (isCall(data, "holdfast", "ingest")) send({ to: "keeper", ingest: hostId }, [...ports]);
  };
  navigator.serviceWorker.startMessages();
  pool.connect();
}

async function leave(): Promise<void> {
  const tab = await chrome.tabs.getCurrent();
  if (tab?.id !== undefined) await chrome.tabs.remove(tab.id);
}
