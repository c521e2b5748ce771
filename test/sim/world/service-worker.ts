import { HISTORY_WRITE_MS } from "../../../src/base/limits.ts";
import { type RpcMessage, RpcPeer } from "../../../src/base/rpc.ts";
import { startOnce } from "../../../src/base/start-once.ts";
import { HostReports } from "../../../src/history/host-reports.ts";
import { PerformanceHistoryTracker } from "../../../src/history/tracker.ts";
import type { PoolHistory, PoolNeeds } from "../../../src/pool/needs.ts";
import { ResourcePool } from "../../../src/pool/resource-pool.ts";
import { reconcile } from "../../../src/pool/start.ts";
import type {
  DriverReports,
  Handover,
  HostCalls,
  HostToPool,
  PoolCalls,
  PoolToHost,
} from "../../../src/protocol/pool.ts";
import { type Journal, openJournal } from "../../../src/state/journal.ts";
import { isHost, type TransactionBody } from "../../../src/state/pool-state.ts";
import type { Browser } from "./browser.ts";
import { Context } from "./context.ts";
import { quickTextDigest } from "./digest.ts";
import type { WorkerPort } from "./runtime-port.ts";

const BROWSER = { type: "chrome", version: "150" };

interface Started {
  readonly pool: ResourcePool;
  readonly journal: Journal;
}

/** One life of the service worker: what background.ts is to the browser, around the same pool. */
export class ServiceWorker {
  readonly context: Context;
  journal: Journal | null = null;
  pool: ResourcePool | null = null;
  private readonly opened: () => Promise<{ journal: Journal; needs: PoolNeeds; pool: ResourcePool }>;
  private readonly started: () => Promise<Started>;

  constructor(private readonly browser: Browser) {
    const { loop, random } = browser;
    this.context = new Context(loop, "service worker");
    // Until it is up its events wait.
    this.context.busy(20 + random.next() * 40);
    this.opened = startOnce(() => this.open());
    this.started = startOnce(() => this.start());
    this.context.run(() => this.withPool(() => undefined));
  }

  connected(port: WorkerPort): void {
    const [kind, , hostId = ""] = port.name.split(":");
    if (kind === "host") void this.serveHost(port, hostId);
    else void this.serveBridge(port, port.name.slice("bridge:".length));
  }

  /** Ports on their way from a bridge to a host's page. */
  async handOver(message: Handover, bridgeId: string, ports: readonly MessagePort[]): Promise<void> {
    const { journal } = await this.started();
    const session = journal.state.sessions[message.sessionId];
    if (session?.bridgeId !== bridgeId || journal.state.hosts[message.hostId]?.sessionId !== message.sessionId) return;
    this.browser.toPage(this.context, message.hostId, (page) => page.handedOver(message, ports), ports);
  }

  withPool(action: (started: Started) => unknown): void {
    this.started().then(action, () => undefined);
  }

  private async open() {
    const { browser, context } = this;
    const { loop, random } = browser;
    let ids = 0;
    const journal = await openJournal({
      storage: browser.journalDisk.seenBy(context, random, browser.trouble),
      sha256: quickTextDigest,
      now: () => browser.wallNow,
      newId: () => `t${loop.events}-${++ids}`,
    });
    const needs = this.needs(journal);
    this.journal = journal;
    return { journal, needs, pool: new ResourcePool(needs) };
  }

  private async start(): Promise<Started> {
    const { journal, needs, pool } = await this.opened();
    await reconcile(pool, needs);
    void journal.audit().catch(() => undefined);
    for (const page of this.browser.hostPages(this.context)) {
      if (!isHost(journal.state, page.hostId)) this.tell(page.hostId, (one) => one.leave());
      else this.tell(page.hostId, (one) => one.report());
    }
    this.pool = pool;
    return { pool, journal };
  }

  private async serveHost(port: WorkerPort, hostId: string): Promise<void> {
    const early: unknown[] = [];
    let receive = (message: unknown): void => void early.push(message);
    port.onMessage = (message) => receive(message);
    port.onDisconnect = () => this.withPool(({ pool }) => pool.pages.disconnected(hostId));
    const { pool, journal } = await this.started();
    if (!isHost(journal.state, hostId)) return this.tell(hostId, (page) => page.leave());
    const peer = new RpcPeer<Record<never, never>, PoolToHost, HostCalls, HostToPool>(
      (message) => port.post(message),
      { makeRoom: () => null },
      pool.hostReports((id) => id === hostId),
    );
    receive = (message) => peer.receive(message);
    pool.pages.connected(hostId);
    for (const message of early) receive(message);
  }

  private async serveBridge(port: WorkerPort, bridgeId: string): Promise<void> {
    const early: unknown[] = [];
    let receive = (message: unknown): void => void early.push(message);
    port.onMessage = (message) => receive(message);
    port.onDisconnect = () => this.withPool(({ pool }) => pool.sessions.bridgeLost(bridgeId));
    const { pool } = await this.started();
    const peer = new RpcPeer<Record<never, never>, Record<never, never>, PoolCalls, DriverReports>(
      (message) => port.post(message),
      pool.bridgeCalls(bridgeId),
      pool.driverReports(bridgeId),
    );
    receive = (message) => peer.receive(message);
    for (const message of early) receive(message);
  }

  private tell(hostId: string, action: Parameters<Browser["toPage"]>[2]): void {
    this.browser.toPage(this.context, hostId, action, []);
  }

  private needs(journal: Journal): PoolNeeds {
    const { browser, context } = this;
    const slow = <T>(value: () => T): Promise<T> => context.wait(0.5 + browser.random.next() * 3, value);
    const message = (name: string, payload: unknown): RpcMessage => ({ rpc: "event", name, payload });
    return {
      journal: {
        get state() {
          return journal.state;
        },
        append: (body: TransactionBody) => {
          const before = journal.state;
          const written = journal.append(body);
          browser.watch?.transaction(body, before, journal.state);
          return written;
        },
      },
      history: this.history(),
      openPage: async (hostId) => {
        const tab = browser.openTab(hostId);
        return slow(() => tab);
      },
      closePage: async ({ hostId, tabId }) => {
        await slow(() => undefined);
        if (tabId !== null) browser.closeTab(browser.tabs.has(tabId) ? tabId : (browser.tabOf(hostId)?.tabId ?? tabId));
        else this.tell(hostId, (page) => page.leave());
      },
      reloadPage: (tabId) => slow(() => browser.reloadTab(tabId)),
      closeOffscreen: async () => undefined,
      hostTabs: () =>
        slow(() =>
          [...browser.tabs.values()].map(({ tabId, hostId, page }) => ({
            tabId,
            hostId,
            frozen: page?.isFrozen === true,
          })),
        ),
      livePages: () =>
        slow(() => ({ hostIds: new Set(browser.hostPages(context).map(({ hostId }) => hostId)), offscreen: false })),
      liveBridges: () => slow(() => browser.bridgeIds()),
      toHost: (hostId, name, payload) => {
        const sent = JSON.parse(JSON.stringify(message(name, payload))) as RpcMessage;
        this.tell(hostId, (page) => page.poolSays(sent));
      },
      toBridge: (bridgeId, name, payload) => browser.toBridge(context, bridgeId, message(name, payload)),
      forgetCheckpoints: (sessionId) => browser.checkpoints.forget(context, sessionId),
      storedSessions: () => slow(() => [...browser.checkpoints.sessions]),
      checkModel: () => slow(() => undefined),
      storedBytes: (sessionId) => browser.checkpoints.bytes(context, sessionId),
      askConsent: async (origin) => {
        await context.wait(200, () => undefined);
        await journal.append({ action: "set_consent", data: { origin, allowed: true, at: browser.wallNow } });
        return true;
      },
      setAlarm: (name, delayMs) => browser.setAlarm(name, delayMs),
      setPopupAllowed: () => undefined,
      after: (ms, action) => void context.after(ms, action),
      now: () => browser.wallNow,
      newId: () => browser.newId(),
    };
  }

  private history(): PoolHistory {
    const { browser, context } = this;
    const clock = { now: () => browser.wallNow, newId: () => browser.newId() };
    const tracker = PerformanceHistoryTracker.from(browser.storedHistory.tracker, undefined, clock);
    const reports = HostReports.from(browser.storedHistory.reports, BROWSER);
    let isDue = false;
    const changed = (): void => {
      if (!isDue) context.after(HISTORY_WRITE_MS, write);
      isDue = true;
    };
    const write = (): void => {
      isDue = false;
      browser.storedHistory = { tracker: tracker.toJSON(), reports: reports.toJSON() };
    };
    return { tracker, reports, changed };
  }
}
