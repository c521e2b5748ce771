import { ConsentWindows } from "./adapters/consent-windows.ts";
import { extensionNeeds, hostClient, hostPages, isFrom } from "./adapters/extension-pool.ts";
import { HistoryStore } from "./adapters/history-store.ts";
import { openStoredJournal } from "./adapters/journal-store.ts";
import { ownBrowser } from "./adapters/own-browser.ts";
import { StoreRoom } from "./adapters/store-room.ts";
import { type ErrorData, messageOf, toErrorData } from "./base/errors.ts";
import { JOURNAL_AUDIT_EVERY, JOURNAL_OPEN_DEADLINE_MS } from "./base/limits.ts";
import { type RpcMessage, RpcPeer } from "./base/rpc.ts";
import { startOnce } from "./base/start-once.ts";
import { ResourcePool } from "./pool/resource-pool.ts";
import { onUpdate } from "./pool/settling.ts";
import { reconcile } from "./pool/start.ts";
import type { DriverReports, Handover, HostCalls, HostToPool, PoolCalls, PoolToHost } from "./protocol/pool.ts";
import type { PopupMessage } from "./protocol/popup.ts";
import type { Journal } from "./state/journal.ts";
import { exportTransaction } from "./state/log-export.ts";
import { isHost } from "./state/pool-state.ts";

declare const self: ServiceWorkerGlobalScope;

/** A port of a pool that could not start is kept for a moment: its other end would be back at once. */
const REFUSED_PORT_MS = 500;

interface Started {
  readonly pool: ResourcePool;
  readonly journal: Journal;
}

// The resource pool. It may end at any moment: whatever it must not forget is in the journal, and every start runs
// the same path. Listeners are registered at once; each waits for the start. One that failed (the storage did not
// answer, say) is made again by whoever comes next, on the same pool.
const consent = new ConsentWindows();
const opened = startOnce(async () => {
  const opening = Promise.all([openStoredJournal(), HistoryStore.open(ownBrowser())]);
  const [journal, history] = await within(JOURNAL_OPEN_DEADLINE_MS, opening);
  const needs = extensionNeeds(journal, history, consent);
  return { journal, needs, pool: new ResourcePool(needs) };
});
const started = startOnce(start);
const room = new StoreRoom(async () => (await started()).journal.state);
withPool(() => undefined);

async function start(): Promise<Started> {
  const { journal, needs, pool } = await opened();
  await reconcile(pool, needs);
  // What this start did not need may be needed by the next; and once in a while all of it is looked at.
  void journal
    .audit(Math.random() < 1 / JOURNAL_AUDIT_EVERY ? "everything" : "reserve")
    .catch((error: unknown) => console.error(`The journal's reserve: ${messageOf(error)}`));
  // Host pages that live on tell what they have; pages nobody knows (left over, restored by the browser) close.
  for (const { client, hostId } of await hostPages()) {
    if (hostId !== null && !isHost(journal.state, hostId)) {
      client.postMessage({ holdfast: "leave" });
    } else client.postMessage({ holdfast: "report" });
  }
  performance.mark("ready");
  return { pool, journal };
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the journal could not be opened within ${ms} ms`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** What the browser tells while the pool cannot start is lost: the next start asks it for everything anyway. */
function withPool(action: (started: Started) => unknown): void {
  started().then(action, (error: unknown) => console.error(`Holdfast could not start: ${messageOf(error)}`));
}

/** Null: the pool could not start. The other end is told, so that it does not wait for an answer for ever. */
async function startedFor(port: chrome.runtime.Port, early: readonly unknown[]): Promise<Started | null> {
  try {
    return await started();
  } catch (error) {
    console.error(`Holdfast could not start: ${messageOf(error)}`);
    // To ask again at once is of use, unless what is stored can only be read by a newer version.
    if (toErrorData(error).code === "STORE_NEWER") refuseCalls(port, toErrorData(error), early);
    setTimeout(() => port.disconnect(), REFUSED_PORT_MS);
    return null;
  }
}

function refuseCalls(port: chrome.runtime.Port, error: ErrorData, early: readonly unknown[]): void {
  const refuse = (message: unknown): void => {
    const { rpc, id } = message as Partial<RpcMessage & { id: number }>;
    if (rpc === "call" && id !== undefined) answer(port, { rpc: "error", id, error });
  };
  port.onMessage.addListener(refuse);
  for (const message of early) refuse(message);
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
  port.onDisconnect.addListener(() =>
    withPool(({ pool, journal }) => {
      const hosts =
        hostId === "offscreen"
          ? Object.values(journal.state.hosts).filter(({ place }) => place === "offscreen")
          : [{ hostId }];
      for (const host of hosts) void pool.pages.disconnected(host.hostId);
    }),
  );
  const running = await startedFor(port, early);
  if (running === null) return;
  const { pool, journal } = running;
  if (hostId !== "offscreen" && !isHost(journal.state, hostId)) {
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
  for (const host of Object.values(journal.state.hosts)) if (isOnPage(host.hostId)) pool.pages.connected(host.hostId);
  if (journal.state.spares?.[hostId] !== undefined) pool.pages.connected(hostId);
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
  port.onDisconnect.addListener(() => withPool(({ pool }) => pool.sessions.bridgeLost(bridgeId)));
  const running = await startedFor(port, early);
  if (running === null) return;
  const { pool } = running;
  const peer = new RpcPeer<Record<never, never>, Record<never, never>, PoolCalls, DriverReports>(
    (message) => answer(port, message),
    pool.bridgeCalls(bridgeId),
    pool.driverReports(bridgeId),
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
  const { journal } = await started();
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
  const { pool, journal } = await started();
  if (message.holdfast === "consent") {
    const { origin, allowed } = message.params;
    await journal.append({ action: "set_consent", data: { origin, allowed, at: Date.now() } });
    consent.answer(origin, allowed);
    return null;
  }
  if (message.holdfast === "store") return room.status();
  if (message.holdfast === "deleteModel") return room.deleteModel(message.params.digests);
  if (message.holdfast === "setStoreQuota") return room.setQuota(message.params.bytes);
  if (message.holdfast === "exportLog") return JSON.stringify((await journal.history()).map(exportTransaction));
  const calls = pool.popupCalls();
  if (message.holdfast === "withdraw") return calls.withdraw(message.params);
  if (message.holdfast === "closeSession") return calls.closeSession(message.params);
  return calls.status(null);
}

chrome.tabs.onRemoved.addListener((tabId) => withPool(({ pool }) => pool.pages.tabRemoved(tabId)));
chrome.tabs.onUpdated.addListener((tabId, { frozen }) => {
  if (frozen === true) withPool(({ pool }) => pool.pages.tabFrozen(tabId));
});
chrome.windows.onRemoved.addListener((windowId) => consent.windowClosed(windowId));
chrome.alarms.onAlarm.addListener(() => withPool(({ pool }) => pool.inspect()));
chrome.runtime.onUpdateAvailable.addListener(() =>
  withPool(({ pool }) => onUpdate(pool, () => chrome.runtime.reload())),
);
chrome.runtime.onStartup.addListener(() => withPool(() => undefined));
chrome.runtime.onInstalled.addListener(() => withPool(() => undefined));
// While a session above level none lives the action has no popup: the page opens as a window, which is harmless.
chrome.action.onClicked.addListener(
  () => void chrome.windows.create({ url: "popup/popup.html", type: "popup", width: 420, height: 640 }),
);
