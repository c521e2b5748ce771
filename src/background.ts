import { ConsentWindows } from "./adapters/consent-windows.ts";
import { extensionNeeds, hostClient, hostPages, isFrom } from "./adapters/extension-pool.ts";
import { JournalStore } from "./adapters/journal-store.ts";
import { StoreRoom } from "./adapters/store-room.ts";
import { type RpcMessage, RpcPeer } from "./base/rpc.ts";
import { ResourcePool } from "./pool/resource-pool.ts";
import { reconcile } from "./pool/start.ts";
import type { DriverReports, Handover, HostCalls, HostToPool, PoolCalls, PoolToHost } from "./protocol/pool.ts";
import type { PopupMessage } from "./protocol/popup.ts";

declare const self: ServiceWorkerGlobalScope;

// The resource pool. It may end at any moment: whatever it must not forget is in the journal, and every start runs
// the same path. Listeners are registered at once; each waits for the start.
const consent = new ConsentWindows();
const started = start();
const room = new StoreRoom(async () => (await started).journal.state);

async function start(): Promise<{ pool: ResourcePool; journal: JournalStore }> {
  const journal = await JournalStore.open();
  const needs = extensionNeeds(journal, consent);
  const pool = new ResourcePool(needs);
  await reconcile(pool, needs);
  // Host pages that live on tell what they have; pages nobody knows (left over, restored by the browser) close.
  for (const { client, hostId } of await hostPages()) {
    if (hostId !== null && journal.state.hosts[hostId] === undefined) {
      client.postMessage({ holdfast: "leave" });
    } else client.postMessage({ holdfast: "report" });
  }
  return { pool, journal };
}

chrome.runtime.onConnect.addListener((port) => {
  const [kind, , hostId = ""] = port.name.split(":");
  if (kind === "host" && isFrom(port.sender, "host")) void serveHost(port, hostId);
  else if (kind === "bridge" && isFrom(port.sender, "bridge"))
    void serveBridge(port, port.name.slice("bridge:".length));
  else port.disconnect();
});

async function serveHost(port: chrome.runtime.Port, hostId: string): Promise<void> {
  const early: unknown[] = [];
  let receive = (message: unknown): void => void early.push(message);
  port.onMessage.addListener((message) => receive(message));
  port.onDisconnect.addListener(
    () =>
      void started.then(({ pool, journal }) => {
        const hosts =
          hostId === "offscreen"
            ? Object.values(journal.state.hosts).filter(({ place }) => place === "offscreen")
            : [{ hostId }];
        for (const host of hosts) void pool.pageDisconnected(host.hostId);
      }),
  );
  const { pool, journal } = await started;
  if (hostId !== "offscreen" && journal.state.hosts[hostId] === undefined) {
    (await hostPages()).find((page) => page.hostId === hostId)?.client.postMessage({ holdfast: "leave" });
    return;
  }
  const isOnPage = (id: string): boolean =>
    id === hostId || (hostId === "offscreen" && journal.state.hosts[id]?.place === "offscreen");
  const peer = new RpcPeer<Record<never, never>, PoolToHost, HostCalls, HostToPool>(
    (message) => answer(port, message),
    { makeRoom: (params) => room.makeRoom(params) },
    pool.hostReports(isOnPage),
  );
  receive = (message) => peer.receive(message);
  for (const host of Object.values(journal.state.hosts)) if (isOnPage(host.hostId)) pool.pageConnected(host.hostId);
  for (const message of early) receive(message);
}

/** The other end may have gone while its answer was made. */
function answer(port: chrome.runtime.Port, message: RpcMessage): void {
  try {
    port.postMessage(message);
  } catch {
    // A client that is gone needs no answer; one that lives connects anew and asks again.
  }
}

async function serveBridge(port: chrome.runtime.Port, bridgeId: string): Promise<void> {
  const early: unknown[] = [];
  let receive = (message: unknown): void => void early.push(message);
  port.onMessage.addListener((message) => receive(message));
  port.onDisconnect.addListener(() => void started.then(({ pool }) => pool.sessions.bridgeLost(bridgeId)));
  const { pool } = await started;
  const peer = new RpcPeer<Record<never, never>, Record<never, never>, PoolCalls, DriverReports>(
    (message) => answer(port, message),
    pool.bridgeCalls(),
    pool.driverReports(),
  );
  receive = (message) => peer.receive(message);
  for (const message of early) receive(message);
}

// Ports on their way from a bridge frame to a host's page, and bridges that ask who they are.
self.addEventListener("message", (event) => {
  const source = event.source as Client | null;
  if (source === null || new URL(source.url).origin !== self.location.origin) return;
  if ((event.data as { holdfast?: string }).holdfast === "who")
    return source.postMessage({ holdfast: "you", bridgeId: source.id });
  event.waitUntil(handOver(event.data as Handover, source.id, [...event.ports]));
});

async function handOver(message: Handover, bridgeId: string, ports: MessagePort[]): Promise<void> {
  const { journal } = await started;
  const session = journal.state.sessions[message.sessionId];
  // Only the session's owner reaches its hosts.
  if (session?.bridgeId !== bridgeId || journal.state.hosts[message.hostId]?.sessionId !== message.sessionId) return;
  (await hostClient(journal, message.hostId))?.postMessage(message, ports);
}

chrome.runtime.onMessage.addListener((message: PopupMessage, sender, respond) => {
  if (!isFrom(sender, "popup")) return false;
  void answerPopup(message).then(respond, () => respond(null));
  return true;
});

async function answerPopup(message: PopupMessage): Promise<unknown> {
  const { pool, journal } = await started;
  if (message.holdfast === "consent") {
    const { origin, allowed } = message.params;
    await journal.append({ action: "set_consent", data: { origin, allowed, at: Date.now() } });
    consent.answer(origin, allowed);
    return null;
  }
  if (message.holdfast === "store") return room.status();
  if (message.holdfast === "deleteModel") return room.deleteModel(message.params.digests);
  if (message.holdfast === "setStoreQuota") return room.setQuota(message.params.bytes);
  const calls = pool.popupCalls();
  if (message.holdfast === "withdraw") return calls.withdraw(message.params);
  if (message.holdfast === "closeSession") return calls.closeSession(message.params);
  return calls.status(null);
}

chrome.tabs.onRemoved.addListener((tabId) => void started.then(({ pool }) => pool.tabRemoved(tabId)));
chrome.windows.onRemoved.addListener((windowId) => consent.windowClosed(windowId));
chrome.alarms.onAlarm.addListener(() => void started.then(({ pool }) => pool.sessions.inspectOwners()));
chrome.runtime.onStartup.addListener(() => void started);
chrome.runtime.onInstalled.addListener(() => void started);
// While a session above level none lives the action has no popup: the page opens as a window, which is harmless.
chrome.action.onClicked.addListener(
  () => void chrome.windows.create({ url: "popup/popup.html", type: "popup", width: 420, height: 640 }),
);
