import { BREAKER_FAILURES, RECOVERY_ATTEMPTS_MAX } from "../../../src/base/limits.ts";
import { LEVELS } from "../../../src/fault/levels.ts";
import { majorityOf } from "../../../src/fault/vote.ts";
import { EMPTY_POOL, type PoolState, planStage, type TransactionBody } from "../../../src/state/pool-state.ts";
import { hostsAStage, type SlotPlan } from "../plan.ts";
import type { Browser, Watch } from "../world/browser.ts";

/** A pool that starts anew cannot know how hosts are that were starting, and replaces them. */
const UNSURE = /since the pool restarted|cut short|while the pool was away|could not be opened|when it was done again/;

/** Watches a history from outside: who owns which stage, what was promised to be stored, who is accused. */
export class Guard implements Watch {
  state: PoolState = EMPTY_POOL;
  /** Sessions one of whose hosts was made to answer something else than others would. */
  readonly erring = new Set<string>();
  /** The newest attempt of each stage that was ready. */
  private readonly ready = new Map<string, { readonly hostId: string; readonly attempt: number }>();
  /** Since when a stage is not served, and how often it was tried to bring it back. */
  private readonly lost = new Map<string, { readonly since: number; climbs: number }>();
  private readonly rivals = new Set<string>();
  /** How often hosts of each stage of a site's model were lost. */
  private readonly losses = new Map<string, number>();
  private readonly promised = new Map<string, number>();

  constructor(
    private readonly browser: Browser,
    private readonly violation: (what: string) => void,
    private readonly note: (what: () => string) => void,
  ) {}

  transaction({ action, data }: TransactionBody, before: PoolState, after: PoolState): void {
    this.state = after;
    this.note(() => `journal: ${action} ${JSON.stringify(data).slice(0, 160)}`);
    if (action === "add_model_to_browser" && "sessionId" in data) this.assigned(data, before);
    else if (action === "set_spare" && data.standby?.isRival) this.rivals.add(data.hostId);
    else if (action === "remove_spare") this.rivals.delete(data.hostId);
    else if (action === "stage_ready") {
      const record = after.sessions[data.sessionId]?.stages[data.stage];
      if (record !== undefined) this.ready.set(`${data.sessionId} ${data.stage}`, record);
    } else if (action === "stage_fault") this.faulted(data, before);
    else if (action === "stage_recovered") this.lost.delete(`${data.sessionId} ${data.stage}`);
    else if (action === "remove_session") this.forget(data.sessionId);
    else if (action === "update_session" && data.status !== undefined && data.status !== "live")
      this.forget(data.sessionId);
  }

  /** It counts anew. */
  workerStarted(): void {
    for (const one of this.lost.values()) one.climbs = 0;
  }

  stored(hostId: string, attempt: number, sessionId: string, stage: number): void {
    const newest = this.ready.get(`${sessionId} ${stage}`);
    // Within one host storage is used in order, and what an earlier frame stored is deleted before it is read.
    if (newest !== undefined && newest.hostId !== hostId && attempt < newest.attempt)
      this.violation(`two owners: ${hostId} of attempt ${attempt} stored after attempt ${newest.attempt} was ready`);
  }

  falseAlarm(_hostId: string, signal: string): void {
    if (UNSURE.test(signal)) return;
    this.violation(`a frame that is well was thrown away: ${signal}`);
  }

  /** A page heard that the state after this run survives everything. */
  durable(sessionId: string, { level, stateful, shards, spotCheck }: SlotPlan, run: number, isDamaged: boolean): void {
    this.promised.set(sessionId, Math.max(run, this.durableRun(sessionId)));
    if (!stateful || !LEVELS[level].keepsState || run < 0 || isDamaged) return;
    // It has ended, and its page has not heard of it.
    if (this.state.sessions[sessionId]?.status !== "live") return;
    // Of hosts that vote, most have; one that only checks stores nothing.
    const hosts = LEVELS[level].votes ? hostsAStage({ level, spotCheck }) : 1;
    for (let stage = 0; stage < shards; stage++) {
      const by = Array.from({ length: hosts }, (_, index) => stage + index * shards).filter(
        (host) => this.browser.checkpoints.newest(sessionId, host) >= run,
      );
      if (by.length < majorityOf(hosts))
        this.violation(`run ${run} was called durable before stage ${stage} had stored it`);
    }
  }

  /** A stage of this model was lost so often that no host may be given it for a while. */
  isCircuitOpen(origin: string, model: string): boolean {
    return [...this.losses].some(([key, count]) => key.startsWith(`${origin} ${model} `) && count >= BREAKER_FAILURES);
  }

  durableRun(sessionId: string): number {
    return this.promised.get(sessionId) ?? -1;
  }

  /** Stages of sessions that are to be served, and are not since before `at`. */
  lateSince(at: number): readonly string[] {
    const isLate = ([key, { since }]: [string, { readonly since: number }]): boolean => {
      const [sessionId = "", stage = ""] = key.split(" ");
      const session = this.state.sessions[sessionId];
      return since < at && session?.status === "live" && session.stages[Number(stage)]?.phase !== "ready";
    };
    return [...this.lost].filter(isLate).map(([key]) => key);
  }

  /** One owner a stage, each with a higher number than the one before, and no second one while the first is on its way. */
  private assigned(
    data: { readonly sessionId: string; readonly stage: number; readonly attempt: number; readonly hostId: string },
    { sessions, hosts }: PoolState,
  ): void {
    const { sessionId, stage, attempt, hostId } = data;
    const record = sessions[sessionId]?.stages[stage];
    if (record === undefined) return;
    if (attempt <= record.attempt)
      this.violation(`two owners: stage ${stage} was given out as attempt ${attempt} after ${record.attempt}`);
    if (record.phase !== "lost" && hosts[record.hostId] !== undefined)
      this.violation(`two recoveries at once: stage ${stage} was given out while it was ${record.phase}`);
    const lost = this.lost.get(`${sessionId} ${stage}`);
    // Who raced for it and won was counted with the one that it raced with.
    const hasRaced = this.rivals.delete(hostId);
    if (lost !== undefined && !hasRaced && ++lost.climbs > RECOVERY_ATTEMPTS_MAX)
      this.violation(`stage ${stage} was brought back ${lost.climbs} times without an end`);
  }

  private faulted(
    {
      sessionId,
      stage,
      hostId,
      signal,
    }: { readonly sessionId: string; readonly stage: number; readonly hostId: string; readonly signal: string },
    before: PoolState,
  ): void {
    const record = before.sessions[sessionId]?.stages[stage];
    const key = `${sessionId} ${stage}`;
    const climbs = this.lost.get(key)?.climbs ?? 0;
    const session = before.sessions[sessionId];
    if (session !== undefined) {
      const weights = `${session.origin} ${session.model} ${planStage(session, stage)}`;
      this.losses.set(weights, (this.losses.get(weights) ?? 0) + 1);
    }
    // Until it has answered again, it is the same recovery.
    if (record?.phase === "ready" || !this.lost.has(key)) this.lost.set(key, { since: this.browser.loop.now, climbs });
    if (record?.phase === "lost") this.violation(`two recoveries at once: stage ${stage} was lost while it was lost`);
    if (signal.startsWith("outvoted")) this.outvoted(sessionId, hostId, before);
    else if (record?.hostId === hostId && record.phase === "ready" && this.isWell(hostId) && !UNSURE.test(signal))
      this.violation(`a host that is well was called lost: ${signal}`);
  }

  /** Of three hosts that vote only one that erred; of a host and its checker either may have. */
  private outvoted(sessionId: string, hostId: string, { sessions }: PoolState): void {
    const level = sessions[sessionId]?.options.faultToleranceLevel ?? "none";
    const frame = this.browser.tabOf(hostId)?.page?.frame;
    const isFound = LEVELS[level].votes ? frame?.runtime.hasErred !== false : this.erring.has(sessionId);
    if (!isFound) this.violation("a host that told the truth was outvoted");
  }

  private forget(sessionId: string): void {
    for (const key of this.lost.keys()) if (key.startsWith(`${sessionId} `)) this.lost.delete(key);
  }

  private isWell(hostId: string): boolean {
    const page = this.browser.tabOf(hostId)?.page;
    return page?.context.alive === true && !page.isFrozen && page.frame?.isHealthy === true;
  }
}
