import {
  EXTRA_HOSTS_MAX,
  GPU_LOSSES_MAX,
  HOST_BOOT_DEADLINE_MS,
  SPARE_AGAIN_MS,
  SPARE_DELAY_MS,
  STANDBY_DELAY_MS,
} from "../base/limits.ts";
import type { Provider } from "../protocol/options.ts";
import type { Lease } from "../protocol/pool.ts";
import type {
  HostRecord,
  SessionRecord,
  SpareRecord,
  StageRecord,
  StandbyFor,
  TransactionBody,
} from "../state/pool-state.ts";
import type { Breakers } from "./breakers.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { decideSpares } from "./spare-decision.ts";
import { isSettled } from "./standby-decision.ts";
import { Standbys } from "./standbys.ts";

type Actions = ReadonlySet<TransactionBody["action"]>;

/** What the need for spares hangs on. */
export const SPARES_HANG_ON: Actions = new Set(["stage_ready", "stage_recovered", "update_session", "remove_session"]);

/** The same needs, with a journal of which whoever tends what hangs on these transactions hears. */
export function tended(needs: PoolNeeds, matters: Actions, tend: () => void): PoolNeeds {
  const { journal } = needs;
  return {
    ...needs,
    journal: {
      get state() {
        return journal.state;
      },
      append: (body) => {
        const written = journal.append(body);
        if (matters.has(body.action)) tend();
        return written;
      },
    },
  };
}

/** Keeps one host a provider with onnxruntime loaded, so that a recovery does not wait for its start. */
export class Spares {
  /** No spare is opened before then: the last one failed, or the user closed its tab. */
  private notBefore = 0;
  private isDue = false;
  private looksLater = false;
  private readonly standbys: Standbys;

  constructor(
    private readonly needs: PoolNeeds,
    private readonly hosts: HostManager,
    private readonly breakers: Pick<Breakers, "avoided">,
    /** A host that raced for this stage is out of the race. */
    private readonly rivalLost: (sessionId: string, stage: number) => void,
  ) {
    this.standbys = new Standbys(needs, hosts, this);
  }

  /** Closes what is too much now, opens what is missing soon. To be called whenever what spares hang on has changed. */
  tend(): void {
    this.standbys.tend();
    this.lookLater();
    const { close, boot, open } = this.decide();
    for (const hostId of close) void this.close(hostId);
    if (boot.length + open.length === 0 || this.isDue) return;
    this.isDue = true;
    const now = this.needs.now();
    this.needs.after(Math.max(SPARE_DELAY_MS, Math.min(SPARE_AGAIN_MS, this.notBefore - now)), () => {
      this.isDue = false;
      const later = this.decide();
      for (const spare of later.boot) this.boot(spare);
      for (const provider of later.open) void this.open(provider);
    });
  }

  /** After a recovery no standby loads for a while. */
  private lookLater(): void {
    if (this.looksLater || isSettled(this.needs.journal.state, this.needs.now())) return;
    this.looksLater = true;
    this.needs.after(STANDBY_DELAY_MS, () => {
      this.looksLater = false;
      this.tend();
    });
  }

  /**
   * Gives a stage its standby, or else, where `any` may be taken, the spare of its provider; false: there is neither. The GPU
   * of a device that was just lost must be probed, and of that a spare knows nothing.
   */
  take(session: SessionRecord, stage: number, lostDevice: boolean, which: "standby" | "any"): boolean {
    const record = session.stages[stage];
    if (record === undefined || session.options.place !== "tab") return false;
    const provider = providerOf(session, record);
    if ((lostDevice && provider !== "wasm") || this.isAvoided(session, stage, provider)) return false;
    const spare = which === "any" ? this.atHand(session, stage, provider) : this.standbyOf(session, stage);
    if (spare === undefined) return false;
    // Higher than both: what either said before is fenced.
    this.hosts.adopt(session, stage, spare, Math.max(this.hosts.nextAttempt(record), spare.attempt + 1));
    return true;
  }

  /** The standby, or the host that races for the stage, if it can take it over at once. */
  standbyOf(session: SessionRecord, stage: number): SpareRecord | undefined {
    const record = session.stages[stage];
    const standby = this.standbys.of(session, stage);
    const isFit = record !== undefined && standby !== undefined && this.isFit(standby, providerOf(session, record));
    return isFit ? standby : undefined;
  }

  private isAvoided(session: SessionRecord, stage: number, provider: Provider | null): boolean {
    return this.breakers.avoided(session, stage).some((one) => one.provider === provider);
  }

  private isFit(spare: SpareRecord, provider: Provider | null): boolean {
    return spare.provider === provider && this.hosts.isReached(spare.hostId);
  }

  /** Has another host load the shard of a lost stage, beside the one that is to come back; false: there can be none. */
  race(session: SessionRecord, stage: number, lostDevice: boolean): boolean {
    const record = session.stages[stage];
    if (record === undefined || session.options.place !== "tab" || session.planId === null) return false;
    const { sessionId, origin } = session;
    const provider = providerOf(session, record);
    if (provider === null || this.isAvoided(session, stage, provider)) return false;
    const spare = lostDevice && provider !== "wasm" ? undefined : this.free.find((one) => this.isFit(one, provider));
    if (spare !== undefined) this.standbys.load(spare, session, stage, { isRival: true });
    else if (this.all.length < EXTRA_HOSTS_MAX)
      void this.open(provider, { sessionId, stage, origin, loaded: false, isRival: true });
    else return false;
    return true;
  }

  /** The standby of a stage, or else a spare of this provider. */
  private atHand(session: SessionRecord, stage: number, provider: Provider | null): SpareRecord | undefined {
    return [this.standbys.of(session, stage), ...this.free].find(
      (one) => one !== undefined && this.isFit(one, provider),
    );
  }

  /**
   * A host that is to take a stage over as planned, and follows its state until then: a spare, or a new one. Returns its id; null:
   * the stage has none to be moved from.
   */
  async prepare(session: SessionRecord, stage: number): Promise<string | null> {
    const provider = session.stages[stage]?.provider ?? null;
    if (provider === null) return null;
    const spare = this.atHand(session, stage, provider);
    if (spare === undefined) {
      const { sessionId, origin } = session;
      return this.open(provider, { sessionId, stage, origin, loaded: false, moves: true });
    }
    if (spare.standby === undefined) this.standbys.load(spare, session, stage, { moves: true });
    return spare.hostId;
  }

  /** A host whose stage went to a spare begins anew as the next one, in a frame of its own: nothing of it is kept. */
  recycle(host: HostRecord, provider: Provider, attempt: number): void {
    const { hostId, tabId, browserType = this.needs.history.reports.ownType } = host;
    this.hosts.forget(hostId);
    this.needs.toHost(hostId, "close", { hostId });
    this.put({ hostId, tabId, browserType, provider, attempt, phase: "waiting", openedAt: this.needs.now() });
    this.tend();
  }

  /** False: that is no spare, or not the one that is meant. */
  booted({ hostId, attempt }: Lease): boolean {
    const spare = this.find({ hostId, attempt });
    if (spare === undefined) return false;
    const ready = { ...spare, phase: "ready" } as const;
    const { standby } = spare;
    const session = standby === undefined ? undefined : this.needs.journal.state.sessions[standby.sessionId];
    // Opened for a move, or for a race.
    if (standby !== undefined && session !== undefined) {
      const { isRival, moves } = standby;
      this.standbys.load(ready, session, standby.stage, { ...(isRival && { isRival }), ...(moves && { moves }) });
    } else this.put(ready);
    this.tend();
    return true;
  }

  /** A standby holds its shard. */
  loaded(lease: Lease): void {
    this.standbys.loaded(lease);
  }

  /** It died, or could not start. It is not repaired: the next one comes after a while. */
  lost(lease: Lease): void {
    if (this.find(lease) === undefined) return;
    this.notBefore = this.needs.now() + SPARE_AGAIN_MS;
    void this.close(lease.hostId);
  }

  /** Its page's process died, and that of every other host with it. */
  pageLost(hostId: string): void {
    void this.close(hostId);
  }

  /** The user closed its tab, or the browser froze it. */
  tabLost(tabId: number): void {
    const spare = this.all.find((one) => one.tabId === tabId);
    if (spare !== undefined) this.lost(spare);
  }

  /** Takes it out of the books, then closes its tab. */
  async close(hostId: string): Promise<void> {
    const spare = this.needs.journal.state.spares?.[hostId];
    if (spare === undefined) return;
    this.hosts.pageLost(hostId);
    this.hosts.forget(hostId);
    // First out of the books, like every host.
    await this.needs.journal.append({ action: "remove_spare", data: { hostId } }).catch(() => undefined);
    if (spare.standby?.isRival) this.rivalLost(spare.standby.sessionId, spare.standby.stage);
    await this.needs.closePage({ hostId, place: "tab", tabId: spare.tabId });
    this.tend();
  }

  /** A start: what another service worker had begun with nobody goes on with. `isAlive`: its page is there. */
  async reconcile(isAlive: (hostId: string) => boolean): Promise<void> {
    for (const { hostId, phase, standby } of this.all)
      if (phase !== "ready" || standby?.loaded === false || standby?.moves || !isAlive(hostId))
        await this.close(hostId);
    this.tend();
  }

  private get all(): readonly SpareRecord[] {
    return Object.values(this.needs.journal.state.spares ?? {});
  }

  private get free(): readonly SpareRecord[] {
    return this.all.filter(({ standby, phase }) => standby === undefined && phase === "ready");
  }

  private find({ hostId, attempt }: Lease): SpareRecord | undefined {
    const spare = this.needs.journal.state.spares?.[hostId];
    return spare?.attempt === attempt ? spare : undefined;
  }

  private decide(): ReturnType<typeof decideSpares> {
    return decideSpares(this.needs.journal.state, this.needs.now(), EXTRA_HOSTS_MAX);
  }

  private put(spare: SpareRecord): void {
    this.needs.journal.append({ action: "set_spare", data: spare }).catch(() => undefined);
  }

  private async open(provider: Provider, standby?: StandbyFor): Promise<string> {
    const { needs } = this;
    const browserType = needs.history.reports.ownType;
    const hostId = needs.newId();
    const known = { hostId, tabId: null, browserType, provider, attempt: 0, openedAt: needs.now() };
    const spare = standby === undefined ? known : { ...known, standby };
    try {
      // Journalled before the page opens, like every host.
      await needs.journal.append({ action: "set_spare", data: { ...spare, phase: "waiting" } });
      const tabId = await needs.openPage(hostId, "tab");
      // The last session may have ended meanwhile; a page that nobody knows is told to leave.
      if (this.find(spare) === undefined) await needs.closePage({ hostId, place: "tab", tabId });
      else this.boot({ ...spare, tabId, phase: "waiting" });
    } catch {
      this.lost(spare);
    }
    return hostId;
  }

  private boot(spare: SpareRecord): void {
    const { hostId, attempt, provider, standby } = spare;
    // One that races for a stage whose GPU was lost waits for the GPU to come back.
    const { gpuLosses = 0 } = this.needs.journal.state.sessions[standby?.sessionId ?? ""] ?? {};
    const lease = { hostId, attempt };
    this.put({ ...spare, phase: "starting" });
    this.hosts.whenReached(hostId, () =>
      this.needs.toHost(hostId, "boot", {
        ...lease,
        origin: null,
        providers: [provider],
        gpuLosses,
        measure: [],
        avoid: [],
      }),
    );
    this.needs.after(HOST_BOOT_DEADLINE_MS, () => {
      if (this.find(lease)?.phase === "starting") this.lost(lease);
    });
  }
}

function providerOf({ gpuLosses }: SessionRecord, { provider }: StageRecord): Provider | null {
  return gpuLosses > GPU_LOSSES_MAX ? "wasm" : provider;
}
