import type { RpcMessage } from "../base/rpc.ts";
import type { PoolHistory, PoolNeeds } from "../pool/needs.ts";
import type { Journal } from "../state/journal.ts";
import { deleteCheckpoints, storedBytes, storedSessions } from "./checkpoint-store.ts";
import type { ConsentWindows } from "./consent-windows.ts";
import { checkStoredPlan } from "./model-store.ts";

declare const self: ServiceWorkerGlobalScope;

const HOST_TAB = "offscreen/host-tab.html";
const OFFSCREEN = "offscreen/offscreen.html";
const BRIDGE = "src/bridge.html";

/** The pool's needs, met by the extension API and the service worker's clients. */
export function extensionNeeds(journal: Journal, history: PoolHistory, consent: ConsentWindows): PoolNeeds {
  let outbox: Promise<void> = Promise.resolve();
  let offscreenOpening: Promise<void> | null = null;
  // In order, although finding a client takes a moment.
  const post = (find: () => Promise<Client | undefined>, message: unknown, ports: MessagePort[] = []): void => {
    outbox = outbox.then(async () => (await find())?.postMessage(message, ports)).catch(() => undefined);
  };

  return {
    journal,
    history,
    openPage: async (hostId, place) => {
      if (place === "offscreen") {
        offscreenOpening ??= openOffscreen().finally(() => {
          offscreenOpening = null;
        });
        await offscreenOpening;
        return null;
      }
      const tab = await chrome.tabs.create({ url: chrome.runtime.getURL(`${HOST_TAB}?host=${hostId}`), active: false });
      if (tab.id === undefined) throw new Error("the browser gave the host's tab no id");
      await chrome.tabs.update(tab.id, { autoDiscardable: false });
      return tab.id;
    },
    closePage: async ({ hostId, place, tabId }) => {
      if (tabId !== null) await chrome.tabs.remove(tabId).catch(() => removeTabsOf(hostId));
      // The service worker died before it could note the tab: the page closes itself.
      else if (place === "tab")
        (await hostPages()).find((page) => page.hostId === hostId)?.client.postMessage({ holdfast: "leave" });
    },
    reloadPage: (tabId) =>
      chrome.tabs.reload(tabId).then(
        () => true,
        () => false,
      ),
    hostTabs,
    closeOffscreen: () => chrome.offscreen.closeDocument().catch(() => undefined),
    livePages: async () => {
      const pages = await pagesOf();
      const hostIds = pages.flatMap((client) => (isPage(client, HOST_TAB) ? [hostOf(client)] : []));
      return { hostIds: new Set(hostIds), offscreen: pages.some((client) => isPage(client, OFFSCREEN)) };
    },
    liveBridges: async () => new Set((await pagesOf()).filter((client) => isPage(client, BRIDGE)).map(({ id }) => id)),
    toHost: (hostId, name, payload) => {
      const message: RpcMessage = { rpc: "event", name, payload };
      post(() => hostClient(journal, hostId), { holdfast: "pool", message });
    },
    toBridge: (bridgeId, name, payload) => {
      const message: RpcMessage = { rpc: "event", name, payload };
      post(() => self.clients.get(bridgeId), { holdfast: "pool", message });
    },
    checkModel: checkStoredPlan,
    forgetCheckpoints: deleteCheckpoints,
    storedSessions,
    storedBytes,
    askConsent: (origin) => consent.ask(origin),
    setAlarm: (name, delayMs) => void chrome.alarms.create(name, { when: Date.now() + delayMs }),
    // An open action popup would make the death of the host pages' process fatal to the extension: see background.ts.
    setPopupAllowed: (allowed) => void chrome.action.setPopup({ popup: allowed ? "popup/popup.html" : "" }),
    after: (ms, action) => void setTimeout(action, ms),
    now: () => Date.now(),
    newId: () => crypto.randomUUID(),
  };
}

/** A tab that the browser has discarded has another id since. */
async function removeTabsOf(hostId: string): Promise<void> {
  const tabs = await hostTabs();
  await Promise.all(tabs.filter((tab) => tab.hostId === hostId).map(({ tabId }) => chrome.tabs.remove(tabId))).catch(
    () => undefined,
  );
}

/** Of its own pages an extension sees the addresses. */
async function hostTabs(): Promise<{ readonly hostId: string; readonly tabId: number; readonly frozen: boolean }[]> {
  const tabs = await chrome.tabs.query({ url: chrome.runtime.getURL(`${HOST_TAB}*`) });
  return tabs.flatMap(({ id, url = "", frozen = false }) =>
    id === undefined ? [] : [{ tabId: id, hostId: hostOf({ url }), frozen }],
  );
}

/** The page that holds this host: its tab, or the offscreen document. */
export async function hostClient(journal: Journal, hostId: string): Promise<Client | undefined> {
  const offscreen = journal.state.hosts[hostId]?.place === "offscreen";
  const pages = await pagesOf();
  return pages.find((client) =>
    offscreen ? isPage(client, OFFSCREEN) : isPage(client, HOST_TAB) && hostOf(client) === hostId,
  );
}

export async function hostPages(): Promise<{ readonly client: Client; readonly hostId: string | null }[]> {
  const pages = await pagesOf();
  return pages
    .filter((client) => isPage(client, HOST_TAB) || isPage(client, OFFSCREEN))
    .map((client) => ({ client, hostId: isPage(client, HOST_TAB) ? hostOf(client) : null }));
}

/** Whether the sender of a port or message is this page of the extension. */
export function isFrom(sender: chrome.runtime.MessageSender | undefined, page: "bridge" | "host" | "popup"): boolean {
  if (sender?.id !== chrome.runtime.id || sender.url === undefined) return false;
  const path = new URL(sender.url).pathname.slice(1);
  if (page === "bridge") return path === BRIDGE;
  return page === "host" ? path === HOST_TAB || path === OFFSCREEN : path.startsWith("popup/");
}

function pagesOf(): Promise<readonly Client[]> {
  return self.clients.matchAll({ includeUncontrolled: true, type: "window" });
}

function isPage(client: Client, path: string): boolean {
  return new URL(client.url).pathname === `/${path}`;
}

function hostOf(client: Pick<Client, "url">): string {
  return new URL(client.url).searchParams.get("host") ?? "";
}

async function openOffscreen(): Promise<void> {
  const contexts = await chrome.runtime.getContexts({
    contextTypes: ["OFFSCREEN_DOCUMENT" as chrome.runtime.ContextType],
  });
  if (contexts.length > 0) return;
  await chrome.offscreen.createDocument({
    url: OFFSCREEN,
    reasons: ["WORKERS" as chrome.offscreen.Reason],
    justification: "Runs machine-learning models for pages that the user allowed, at fault-tolerance level none.",
  });
}
