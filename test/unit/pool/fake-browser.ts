import { HoldfastError } from "../../../src/base/errors.ts";
import { HISTORY_WRITE_MS } from "../../../src/base/limits.ts";
import { HostReports } from "../../../src/history/host-reports.ts";
import { PerformanceHistoryTracker } from "../../../src/history/tracker.ts";
import { circuitOpen } from "../../../src/host/providers.ts";
import type { PoolHistory, PoolNeeds } from "../../../src/pool/needs.ts";
import { ResourcePool } from "../../../src/pool/resource-pool.ts";
import { reconcile } from "../../../src/pool/start.ts";
import type { SessionEvent } from "../../../src/protocol/events.ts";
import type { HostCapability, HostReport, MeasuredSpeed } from "../../../src/protocol/host.ts";
import type { Provider } from "../../../src/protocol/options.ts";
import type { PlanningInput } from "../../../src/protocol/planning.ts";
import type { PoolToHost, SessionInfo } from "../../../src/protocol/pool.ts";
import { EMPTY_POOL, isHost, type PoolState, type SessionRecord } from "../../../src/state/pool-state.ts";
import { applyTransaction } from "../../../src/state/reducer.ts";
import { planOf, specsOf } from "../driver/world/model.ts";

export const ORIGIN = "https://site.example";
export const BRIDGE = "bridge-1";
const BROWSER = { type: "chrome", version: "150" };
export const CAPABILITY: HostCapability = {
  browser: BROWSER,
  providers: ["wasm"],
  softwareGpu: false,
  gpuLimits: null,
  threads: 1,
  cores: 8,
  memoryGiB: 8,
};

interface Tab {
  readonly hostId: string;
  alive: boolean;
  /** Nothing in it runs, and its port stays open. */
  frozen: boolean;
}

/** A browser with a clock of its own: tabs, pages in them that do what hosts do, and a service worker that may die. */
export class FakeBrowser {
  now = 1_000_000;
  state: PoolState = EMPTY_POOL;
  pool: ResourcePool;
  readonly tabs = new Map<number, Tab>();
  /** Hosts that were to do a probe run, in order. */
  readonly probed: string[] = [];
  /** Hosts in the offscreen document. */
  readonly offscreen = new Set<string>();
  readonly bridges = new Set([BRIDGE]);
  readonly told: SessionEvent[] = [];
  readonly ingestAt: string[] = [];
  readonly settled: string[] = [];
  readonly forgotten: string[] = [];
  /** So many deletions of stored state are refused. */
  forgetFailures = 0;
  /** Sessions of which something is stored. */
  readonly storedSessions: string[] = [];
  /** Bytes of checkpoints, by session. */
  readonly stored = new Map<string, number>();
  readonly asked: string[] = [];
  readonly alarms: number[] = [];
  popupAllowed = true;
  consent: boolean | null = true;
  /** How long the user looks at the question. */
  thinksMs = 0;
  /** Hosts of these attempts and later never answer a boot, until it is lowered. */
  deafFromAttempt = Number.POSITIVE_INFINITY;
  /** Hosts that answer nothing. */
  readonly deafHosts = new Set<string>();
  /** Hosts never answer an order to load. */
  deafToLoads = false;
  /** The page sends its model. */
  sendsModel = true;
  refuseTabs = false;
  /** What drivers say when they are to stand still; null: nobody answers. */
  standsStill: boolean | null = true;
  /** What is appended holds, and is not stored. */
  diskFull = false;
  /** What hosts say of themselves when they are asked; milliseconds without a run. */
  idleMs = 0;
  /** What hosts measure when they boot, and what they were asked to measure. */
  speed: MeasuredSpeed | null = null;
  readonly measureAsked: (readonly string[])[] = [];
  /** What hosts compute with. */
  provider: Provider = "wasm";
  private readonly hostProviders = new Map<string, Provider>();
  planning: PlanningInput | null = null;
  private readonly clock = { now: () => this.now, newId: () => `id-${++this.ids}` };
  /** The last batch that was written. */
  private written = { tracker: new PerformanceHistoryTracker().toJSON(), reports: [] as readonly HostReport[] };
  history: PoolHistory = this.historyOf(new PerformanceHistoryTracker(undefined, this.clock), new HostReports(BROWSER));
  private timers: { readonly at: number; readonly action: () => void }[] = [];
  private ids = 0;
  private tabIds = 0;
  private needs: PoolNeeds;
  private life = { over: false };
  /** Writes to the journal before the service worker dies, right after the last of them. */
  writesLeft = Number.POSITIVE_INFINITY;
  modelDeleted = false;

  constructor() {
    this.needs = this.newLife();
    this.pool = new ResourcePool(this.needs);
  }

  get liveTabs(): Tab[] {
    return [...this.tabs.values()].filter(({ alive }) => alive);
  }
  /** Tabs that are no spares. */
  get hostTabs(): number {
    return [...this.tabs.values()].filter(({ hostId }) => this.state.spares?.[hostId] === undefined).length;
  }
  get session(): SessionRecord | undefined {
    return Object.values(this.state.sessions)[0];
  }
  hostOf(stage: number): string {
    return this.session?.stages[stage]?.hostId ?? "";
  }
  tabOf(stage: number): number {
    return this.state.hosts[this.hostOf(stage)]?.tabId ?? -1;
  }

  /** Lets time pass; everything that is due happens in its order. */
  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      await settled();
      const next = this.timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.now = Math.max(this.now, next.at);
      next.action();
    }
    this.now = until;
    await settled();
  }

  open(options: object = {}, bridgeId = BRIDGE): Promise<SessionInfo> {
    const params = { bridgeId, origin: ORIGIN, framedBy: null, model: "model", ingestId: `ingest-${++this.ids}` };
    return this.calls(bridgeId).openSession({ ...params, options: options as SessionInfo["options"] });
  }
  /** What a bridge's driver may call over its port. */
  calls(bridgeId = BRIDGE): ReturnType<ResourcePool["bridgeCalls"]> {
    return this.pool.bridgeCalls(bridgeId);
  }
  /** A session in so many stages that is live. */
  async live(shards = 2, options: object = {}): Promise<SessionInfo> {
    const opened = this.open({ shards, ...options });
    await this.pass(1_000);
    return opened;
  }
  resume(sessionId: string, bridgeId: string, origin = ORIGIN): ReturnType<typeof this.resumed> {
    return this.resumed({ bridgeId, origin, framedBy: null, sessionId, ingestId: `ingest-${++this.ids}` });
  }
  private resumed(params: Parameters<ReturnType<ResourcePool["bridgeCalls"]>["resumeSession"]>[0]) {
    return this.calls(params.bridgeId).resumeSession(params);
  }
  attach({ sessionId, secret }: SessionInfo, bridgeId = BRIDGE, origin = ORIGIN): Promise<SessionInfo> {
    return this.calls(bridgeId).attachSession({ bridgeId, origin, framedBy: null, sessionId, secret });
  }

  /** The keeper of a stage's host says that its frame has died. */
  killFrame(stage: number): void {
    const record = this.session?.stages[stage];
    if (record !== undefined)
      this.reports().fault({ hostId: record.hostId, attempt: record.attempt, signal: "frame process gone" });
  }
  async killPage(stage: number): Promise<void> {
    const tab = this.tabs.get(this.tabOf(stage));
    if (tab === undefined) return;
    tab.alive = false;
    await this.pool.pages.disconnected(tab.hostId);
  }
  async killPageOf(hostId: string): Promise<void> {
    for (const tab of this.tabs.values()) if (tab.hostId === hostId) tab.alive = false;
    await this.pool.pages.disconnected(hostId);
  }
  /** All host pages share a process. */
  async killAllPages(): Promise<void> {
    for (const tab of this.tabs.values()) tab.alive = false;
    await Promise.all([...this.tabs.values()].map(({ hostId }) => this.pool.pages.disconnected(hostId)));
  }
  freezeTab(stage: number): void {
    const tab = this.tabs.get(this.tabOf(stage));
    if (tab !== undefined) tab.frozen = true;
  }
  async closeTab(stage: number): Promise<void> {
    const tabId = this.tabOf(stage);
    const hostId = this.hostOf(stage);
    this.tabs.delete(tabId);
    this.pool.pages.tabRemoved(tabId);
    await this.pool.pages.disconnected(hostId);
  }

  /** The service worker dies and starts again: what is not in the journal is gone. */
  async restartWorker(afterwards: () => Promise<void> = async () => undefined): Promise<void> {
    this.killWorker();
    await reconcile(this.pool, this.needs);
    await afterwards();
    // Pages that nobody knows are told to leave.
    for (const [id, { hostId, alive }] of this.tabs) if (alive && !isHost(this.state, hostId)) this.tabs.delete(id);
    for (const { hostId } of this.liveTabs) if (isHost(this.state, hostId)) this.pool.pages.connected(hostId);
  }
  killWorker(): void {
    this.timers = [];
    this.state = structuredClone(this.state);
    const { tracker, reports } = structuredClone(this.written);
    this.history = this.historyOf(
      PerformanceHistoryTracker.from(tracker, undefined, this.clock),
      HostReports.from(reports, BROWSER),
    );
    this.life.over = true;
    this.writesLeft = Number.POSITIVE_INFINITY;
    this.needs = this.newLife();
    this.pool = new ResourcePool(this.needs);
  }
  /** The service worker has died after a write and nobody has started it again. */
  get isWorkerDead(): boolean {
    return this.life.over;
  }
  /** The whole browser: no tab and no page is left. */
  async restartBrowser(): Promise<void> {
    this.tabs.clear();
    this.bridges.clear();
    await this.restartWorker();
  }

  reports(): ReturnType<ResourcePool["hostReports"]> {
    return this.pool.hostReports(() => true);
  }

  private historyOf(tracker: PerformanceHistoryTracker, reports: HostReports): PoolHistory {
    let isDue = false;
    const write = (): void => {
      isDue = false;
      this.written = { tracker: tracker.toJSON(), reports: reports.toJSON() };
    };
    const changed = (): void => {
      if (!isDue) this.later(HISTORY_WRITE_MS, write);
      isDue = true;
    };
    return { tracker, reports, changed };
  }

  private later(ms: number, action: () => void): void {
    this.timers.push({ at: this.now + ms, action });
  }

  /** What a service worker that died had under way never comes to an end. */
  private newLife(): PoolNeeds {
    const life = { over: false };
    this.life = life;
    const mortal = <T extends object>(needs: T): T =>
      new Proxy(needs, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name);
          if (name === "journal") return mortal(value as object);
          if (typeof value !== "function") return value;
          return (...args: unknown[]) => {
            if (!life.over) return (value as (...given: unknown[]) => unknown).apply(target, args);
            return name === "now" ? this.now : new Promise(() => undefined);
          };
        },
      });
    return mortal(this.makeNeeds());
  }

  private makeNeeds(): PoolNeeds {
    const self = this;
    return {
      journal: {
        get state() {
          return self.state;
        },
        append: async (body) => {
          self.state = applyTransaction(self.state, { ...body, timestamp: self.now });
          if (self.diskFull) throw new HoldfastError("QUOTA_EXCEEDED", "The disk is full.");
          self.writesLeft--;
          if (self.writesLeft > 0) return;
          self.life.over = true;
          await new Promise(() => undefined);
        },
      },
      get history() {
        return self.history;
      },
      openPage: async (hostId, place) => {
        if (place === "offscreen") {
          this.offscreen.add(hostId);
          this.later(5, () => this.pool.pages.connected(hostId));
          return null;
        }
        if (this.refuseTabs) throw new Error("no current window");
        const tabId = ++this.tabIds;
        this.tabs.set(tabId, { hostId, alive: true, frozen: false });
        // A service worker that dies now never hears of the tab.
        await new Promise<void>((resolve) => this.later(3, resolve));
        this.later(5, () => this.pool.pages.connected(hostId));
        return tabId;
      },
      closePage: async ({ hostId, tabId }) => {
        this.offscreen.delete(hostId);
        // A page whose tab is not known is asked to leave.
        for (const [id, tab] of this.tabs) if (id === tabId || tab.hostId === hostId) this.tabs.delete(id);
      },
      reloadPage: async (tabId) => {
        const tab = this.tabs.get(tabId);
        if (tab === undefined) return false;
        tab.alive = true;
        this.later(20, () => this.pool.pages.connected(tab.hostId));
        return true;
      },
      hostTabs: async () => [...this.tabs].map(([tabId, { hostId, frozen }]) => ({ tabId, hostId, frozen })),
      closeOffscreen: async () => undefined,
      livePages: async () => ({
        hostIds: new Set(this.liveTabs.map(({ hostId }) => hostId)),
        offscreen: this.offscreen.size > 0,
      }),
      liveBridges: async () => new Set(this.bridges),
      toHost: (hostId, name, payload) => this.later(1, () => this.hostHears(hostId, name, payload)),
      toBridge: (bridgeId, name, payload) => {
        if (name === "session") this.told.push((payload as { event: SessionEvent }).event);
        if (name === "standStill" && this.standsStill !== null) {
          const said = { sessionId: (payload as { sessionId: string }).sessionId, is: this.standsStill };
          this.later(5, () => this.pool.driverReports(bridgeId).still(said));
        }
        if (name === "settle") this.settled.push((payload as { sessionId: string }).sessionId);
        if (name === "ingestAt") this.ingestAt.push((payload as { hostId: string }).hostId);
      },
      checkModel: async () => {
        if (this.modelDeleted) throw new HoldfastError("MODEL_DELETED", "The model was deleted.");
      },
      storedBytes: async (sessionId) => this.stored.get(sessionId) ?? 0,
      forgetCheckpoints: async (sessionId) => {
        if (this.forgetFailures-- > 0) throw new Error("QuotaExceededError: the disk is full");
        this.forgotten.push(sessionId);
      },
      storedSessions: async () => [...this.storedSessions].filter((id) => !this.forgotten.includes(id)),
      askConsent: async (origin) => {
        this.asked.push(origin);
        if (this.thinksMs > 0) await new Promise<void>((resolve) => this.later(this.thinksMs, resolve));
        const allowed = this.consent;
        if (allowed !== null)
          self.state = applyTransaction(self.state, { action: "set_consent", data: { origin, allowed, at: this.now } });
        return allowed;
      },
      setAlarm: (_, delayMs) => void this.alarms.push(delayMs),
      setPopupAllowed: (allowed) => {
        this.popupAllowed = allowed;
      },
      after: (ms, action) => this.later(ms, action),
      now: () => this.now,
      newId: () => `id-${++this.ids}`,
    };
  }

  /** What a host page does with an order of the pool. */
  private hostHears<E extends keyof PoolToHost>(hostId: string, name: E, payload: PoolToHost[E]): void {
    const isThere = this.offscreen.has(hostId) || this.liveTabs.some((tab) => tab.hostId === hostId && !tab.frozen);
    if (!isThere || name === "close") return;
    const { attempt, sessionId } = payload as PoolToHost["load"];
    if (attempt >= this.deafFromAttempt || this.deafHosts.has(hostId)) return;
    const lease = { hostId, attempt };
    if (name === "probe") this.probed.push(hostId);
    if (name === "ask") this.later(1, () => this.reports().alive({ ...lease, idleMs: this.idleMs }));
    if (name === "boot") {
      const { origin, measure, providers, avoid } = payload as PoolToHost["boot"];
      if (origin !== null) this.measureAsked.push(measure);
      const mayTake = (one: Provider): boolean => !avoid.some(({ provider: other }) => other === one);
      const provider = mayTake(this.provider) ? this.provider : (providers ?? []).find(mayTake);
      if (provider === undefined) {
        this.later(10, () => this.reports().bootRefused({ ...lease, error: circuitOpen(avoid) }));
        return;
      }
      this.hostProviders.set(hostId, provider);
      const booted = { provider, capability: CAPABILITY, speed: this.speed };
      this.later(10, () => this.reports().booted({ ...lease, ...booted }));
    }
    if (name === "load" && !this.deafToLoads)
      this.later(10, () =>
        this.reports().ready({
          ...lease,
          provider: this.hostProviders.get(hostId) ?? this.provider,
          weightBytes: 8,
          ms: 10,
        }),
      );
    if (name === "ingest" && this.sendsModel) {
      const { options, planning } = payload as PoolToHost["ingest"];
      this.planning = planning;
      const plan = planOf(specsOf(options.shards ?? 1));
      this.later(30, () => this.reports().planned({ ...lease, sessionId, planId: "plan", plan }));
    }
  }
}

/** Until nothing that was promised is open. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
}
