import type { RpcMessage } from "../../../src/base/rpc.ts";
import type { StoredHistory } from "../../../src/history/tracker.ts";
import { PerformanceHistoryTracker } from "../../../src/history/tracker.ts";
import type { HostReport } from "../../../src/protocol/host.ts";
import type { Handover } from "../../../src/protocol/pool.ts";
import type { PoolState, TransactionBody } from "../../../src/state/pool-state.ts";
import type { Random } from "../../unit/random.ts";
import type { BridgePage } from "./bridge.ts";
import type { Context } from "./context.ts";
import { HostPage } from "./host-page.ts";
import type { Loop } from "./loop.ts";
import { Channels } from "./port.ts";
import { RuntimePort } from "./runtime-port.ts";
import { ServiceWorker } from "./service-worker.ts";
import { CheckpointDisk, DiskTrouble, JournalDisk } from "./storage.ts";

/** A service worker without events is stopped after this long. */
const WORKER_IDLE_MS = 30_000;
/** For so long at most the browser lists a page whose process has just died. */
const LISTED_DEAD_MS = 200;

/** What checkers see while a history is played. */
export interface Watch {
  transaction(body: TransactionBody, before: PoolState, after: PoolState): void;
  /** A host's keeper put a record into storage. */
  stored(hostId: string, attempt: number, sessionId: string, stage: number): void;
  /** A service worker that remembers nothing. */
  workerStarted(): void;
  /** A keeper threw away a frame that was well. */
  falseAlarm(hostId: string, signal: string): void;
}

/** A stage of a session, as a host was told to serve it. */
export interface Assignment {
  readonly sessionId: string;
  readonly stage: number;
  /** A host that was told later has a higher one. Attempts may be given twice where books were lost with a full disk. */
  readonly order: number;
}

interface Tab {
  readonly tabId: number;
  readonly hostId: string;
  /** Null: the browser has discarded it. */
  page: HostPage | null;
}

/** One browser with the extension in it: what lives, what is stored, and who can reach whom. */
export class Browser {
  readonly channels: Channels;
  readonly trouble = new DiskTrouble();
  readonly journalDisk = new JournalDisk();
  readonly checkpoints: CheckpointDisk;
  readonly tabs = new Map<number, Tab>();
  readonly bridges = new Set<BridgePage>();
  storedHistory: { tracker: StoredHistory; reports: readonly HostReport[] } = {
    tracker: new PerformanceHistoryTracker().toJSON(),
    reports: [],
  };
  worker: ServiceWorker | null = null;
  watch: Watch | null = null;
  /** Hosts that start from now on never answer. */
  bootsFail = false;
  /** Every GPU device is lost at once, and there is none to be had until then. */
  gpuBackAt = 0;
  /** Until then every message takes a time of its own. */
  reorderedUntil = 0;
  private assignments = 0;
  /** The newest assignment of each stage that has computed. */
  private readonly serving = new Map<string, number>();
  private lastEventAt = 0;
  private idleWatched = false;
  private ids = 0;
  private tabIds = 0;
  private readonly alarms = new Map<string, () => void>();

  constructor(
    readonly loop: Loop,
    readonly random: Random,
  ) {
    this.channels = new Channels(loop, () => this.messageMs());
    this.checkpoints = new CheckpointDisk(random, this.trouble);
  }

  get wallNow(): number {
    return Math.round(this.loop.now + this.loop.wallOffset);
  }

  newId(): string {
    return `id-${++this.ids}`;
  }

  /** Most messages are quick, some are not. */
  messageMs(): number {
    const { random } = this;
    if (this.loop.now < this.reorderedUntil) return random.next() * 120;
    return random.chance(0.03) ? random.next() * 25 : 0.05 + random.next() * 0.6;
  }

  // The service worker.

  /** An event for the service worker, which is started for it if it does not run. */
  wake(): ServiceWorker {
    this.lastEventAt = this.loop.now;
    if (this.worker === null) {
      this.worker = new ServiceWorker(this);
      this.watch?.workerStarted();
    }
    this.watchIdle();
    return this.worker;
  }

  killWorker(): void {
    this.worker?.context.kill();
    this.worker = null;
  }

  private watchIdle(): void {
    if (this.idleWatched) return;
    this.idleWatched = true;
    this.loop.after(WORKER_IDLE_MS, () => {
      this.idleWatched = false;
      if (this.worker === null) return;
      if (this.loop.now - this.lastEventAt >= WORKER_IDLE_MS) this.killWorker();
      else this.watchIdle();
    });
  }

  connect(name: string, client: Context): RuntimePort {
    const worker = this.wake();
    const port = new RuntimePort(
      name,
      client,
      worker.context,
      () => this.messageMs(),
      () => {
        this.lastEventAt = this.loop.now;
      },
    );
    worker.context.run(() => worker.connected(port.worker));
    return port;
  }

  setAlarm(name: string, delayMs: number): void {
    this.alarms.get(name)?.();
    const cancel = this.loop.after(delayMs, () => {
      this.alarms.delete(name);
      const worker = this.wake();
      worker.context.run(() => worker.withPool(({ pool }) => pool.sessions.owners.inspect()));
    });
    this.alarms.set(name, cancel);
  }

  /** A bridge's ports for a host, over the service worker. */
  handOver(message: Handover, bridgeId: string, ports: readonly MessagePort[]): void {
    const worker = this.wake();
    worker.context.run(() => {
      this.channels.arrive(ports, worker.context);
      void worker.handOver(message, bridgeId, ports);
    });
  }

  // Pages.

  hostPages(from: Context): HostPage[] {
    return [...this.tabs.values()]
      .flatMap(({ page }) => (page !== null && this.isListed(page.context) ? [page] : []))
      .filter(() => from.alive);
  }

  /** A message to the page of a host, if there is one that listens. */
  toPage(from: Context, hostId: string, action: (page: HostPage) => void, ports: readonly MessagePort[]): void {
    if (!from.alive) return;
    this.channels.leave(ports);
    const page = this.tabOf(hostId)?.page;
    // Nobody listens yet, or any more.
    if (!page?.isLoaded) return;
    page.ordered(() => {
      this.channels.arrive(ports, page.context);
      action(page);
    });
  }

  toBridge(from: Context, bridgeId: string, message: RpcMessage): void {
    if (!from.alive) return;
    const bridge = [...this.bridges].find((one) => one.bridgeId === bridgeId);
    const sent = JSON.parse(JSON.stringify(message)) as RpcMessage;
    if (bridge !== undefined) bridge.ordered(() => bridge.poolSays(sent));
  }

  bridgeIds(): ReadonlySet<string> {
    return new Set([...this.bridges].filter(({ context }) => this.isListed(context)).map(({ bridgeId }) => bridgeId));
  }

  openTab(hostId: string): number {
    const tab: Tab = { tabId: ++this.tabIds, hostId, page: null };
    this.tabs.set(tab.tabId, tab);
    tab.page = new HostPage(this, tab.tabId, hostId);
    return tab.tabId;
  }

  /** Closes a tab, and the browser tells of it. */
  closeTab(tabId: number): void {
    const tab = this.tabs.get(tabId);
    if (tab === undefined) return;
    this.tabs.delete(tabId);
    tab.page?.kill();
    this.tell((worker) => worker.withPool(({ pool }) => pool.pages.tabRemoved(tabId)));
  }

  reloadTab(tabId: number): boolean {
    const tab = this.tabs.get(tabId);
    if (tab === undefined) return false;
    tab.page?.kill();
    tab.page = new HostPage(this, tabId, tab.hostId);
    return true;
  }

  /** The browser throws a page away and keeps its tab, under another id. */
  discardTab(tabId: number): void {
    const tab = this.tabs.get(tabId);
    if (tab === undefined) return;
    tab.page?.kill();
    this.tabs.delete(tabId);
    this.tabs.set(++this.tabIds, { ...tab, tabId: this.tabIds, page: null });
  }

  freezeTab(tabId: number): void {
    this.tabs.get(tabId)?.page?.freeze(true);
    this.tell((worker) => worker.withPool(({ pool }) => pool.pages.tabFrozen(tabId)));
  }

  tabOf(hostId: string): Tab | undefined {
    return [...this.tabs.values()].find((tab) => tab.hostId === hostId);
  }

  assign({ sessionId, stage }: Pick<Assignment, "sessionId" | "stage">): Assignment {
    return { sessionId, stage, order: ++this.assignments };
  }

  /** Whether a host that was assigned later has computed already; whoever asks is about to compute. */
  isReplaced(assignment: Assignment | null): boolean {
    if (assignment === null) return false;
    const { sessionId, stage, order } = assignment;
    const newest = this.serving.get(`${sessionId} ${stage}`) ?? 0;
    if (order > newest) this.serving.set(`${sessionId} ${stage}`, order);
    return order < newest;
  }

  private tell(action: (worker: ServiceWorker) => void): void {
    this.loop.after(1 + this.random.next() * 100, () => {
      const worker = this.wake();
      worker.context.run(() => action(worker));
    });
  }

  private isListed(context: Context): boolean {
    return context.alive || this.loop.now - context.diedAt < (context.diedAt * 7_919) % LISTED_DEAD_MS;
  }
}
