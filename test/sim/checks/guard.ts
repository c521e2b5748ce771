import { EMPTY_POOL, type PoolState, type TransactionBody } from "../../../src/state/pool-state.ts";
import type { SlotPlan } from "../plan.ts";
import type { Browser, Watch } from "../world/browser.ts";

/** A pool that starts anew cannot know how hosts are that were starting, and replaces them. */
const UNSURE = /since the pool restarted|cut short|while the pool was away|could not be opened|when it was done again/;

/** Watches a history from outside: who owns which stage, what was promised to be stored, who is accused. */
export class Guard implements Watch {
  state: PoolState = EMPTY_POOL;
  /** The newest attempt of each stage that was ready. */
  private readonly ready = new Map<string, { readonly hostId: string; readonly attempt: number }>();

  constructor(
    private readonly browser: Browser,
    private readonly violation: (what: string) => void,
    private readonly note: (what: string) => void,
  ) {}

  transaction({ action, data }: TransactionBody, before: PoolState, after: PoolState): void {
    this.state = after;
    this.note(`journal: ${action} ${JSON.stringify(data).slice(0, 160)}`);
    if (action === "stage_ready") {
      const record = after.sessions[data.sessionId]?.stages[data.stage];
      if (record !== undefined) this.ready.set(`${data.sessionId} ${data.stage}`, record);
    }
    if (action === "stage_fault") {
      const { hostId, signal } = data;
      const record = before.sessions[data.sessionId]?.stages[data.stage];
      if (record?.hostId === hostId && record.phase === "ready" && this.isWell(hostId) && !UNSURE.test(signal))
        this.violation(`a host that is well was called lost: ${signal}`);
    }
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

  /** A driver has called this run safe: the state after it is stored, or nothing will ever need it. */
  durable(sessionId: string, { level, stateful, shards }: SlotPlan, run: number): void {
    if (!stateful || level === "none" || level === "low" || run < 0) return;
    for (let stage = 0; stage < shards; stage++) this.promised.set(`${sessionId} ${stage}`, run);
  }
  private readonly promised = new Map<string, number>();

  private isWell(hostId: string): boolean {
    const page = this.browser.tabOf(hostId)?.page;
    return page?.context.alive === true && !page.isFrozen && page.frame?.isHealthy === true;
  }
}
