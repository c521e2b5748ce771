import { type ErrorData, HoldfastError, toErrorData } from "../base/errors.ts";
import { REPLAY_RUNS_MAX, WIRINGS_FAILED_MAX } from "../base/limits.ts";
import type { WireTensors } from "../base/tensor.ts";
import { LEVELS } from "../fault/levels.ts";
import type { SessionEvent, StageInfo } from "../protocol/events.ts";
import type { Lease, SessionInfo } from "../protocol/pool.ts";
import type { RunHead, StageMessage } from "../protocol/stage.ts";
import { RecoveryProof } from "./proof.ts";
import { putBack, type Way } from "./put-back.ts";
import type { Submitted } from "./replay.ts";
import { RunCosts } from "./run-costs.ts";
import { boundsOf, SafePoints } from "./safe-points.ts";
import { newer } from "./stage-news.ts";
import type { StageLink, Wirer } from "./wiring.ts";

export interface SessionDriverNeeds {
  readonly wirer: Wirer;
  /** To the page. */
  tell(event: SessionEvent): void;
  safe(run: number): void;
  runFailed(run: number, error: ErrorData): void;
  sessionFailed(error: ErrorData): void;
  /** To the pool. */
  verified(): void;
  /** These hosts take no ports, or do not answer over them, although the pool calls them ready. */
  unreachable(hosts: readonly Lease[]): void;
  /** The stages as the pool knows them; wakes a sleeping service worker. */
  attach(): Promise<readonly StageInfo[]>;
  now(): number;
}

/**
 * Drives one session: numbers and heads of its runs, what must be replayed after a loss, and what is safe. Everything
 * may be sent twice, because every receiver drops what it has done; so recovery is: wire anew, ask each stage how far
 * it is, send again what is missing.
 */
export class SessionDriver {
  private stages: StageInfo[];
  private links: readonly StageLink[] = [];
  private epoch = 0;
  private started = false;
  private wired = false;
  private acked: number;
  private readonly points: SafePoints;
  private readonly costs = new RunCosts();
  /** Runs that can be done again; of a session that is taken up, the newest may come first. */
  private readonly submitted = new Map<number, Submitted>();
  /** Those of them that start from initial state. */
  private readonly resets = new Set<number>();
  private readonly failedRuns = new Map<number, ErrorData>();
  private readonly waiters = new Map<
    number,
    { resolve(tensors: WireTensors): void; reject(error: HoldfastError): void }
  >();
  private readonly blocked: (() => void)[] = [];
  private readonly proof = new RecoveryProof();
  private restoreAll = false;
  private failedWirings = 0;
  private poolSeen = true;
  private ended: HoldfastError | null = null;
  private readonly keepsState: boolean;
  readonly stateful: boolean;

  constructor(
    private readonly needs: SessionDriverNeeds,
    readonly info: SessionInfo,
    acked: number,
  ) {
    this.stages = [...info.stages];
    this.acked = acked;
    this.points = new SafePoints(info.stages.length);
    this.keepsState = LEVELS[info.options.faultToleranceLevel].keepsState;
    this.stateful = info.plan.stateInputs.length > 0;
    // A driver that takes a session up may come in the middle of a recovery.
    for (const { stage, phase } of info.stages) if (phase !== "ready") this.noteLoss(stage);
  }

  /** Ports to the stages. Call once; later losses are handled from inside. */
  async start(): Promise<void> {
    this.started = true;
    if (this.allReady) await this.rewire();
  }

  /** Takes a run up: sends it, or keeps it until the stages are wired. Runs come in the order of their numbers. */
  async submit(run: Submitted): Promise<void> {
    if (this.ended !== null) throw this.ended;
    if (run.reset) this.resets.add(run.run);
    this.points.submitted(run);
    this.submitted.set(run.run, run);
    if (this.wired) this.costs.begin(run.run, this.needs.now());
    this.refreshSafe();
    while (this.stateful && this.keepsState && run.run - this.points.durable > REPLAY_RUNS_MAX && this.ended === null) {
      await new Promise<void>((resolve) => this.blocked.push(resolve));
    }
    if (this.wired) this.sendHead(run);
    if (!this.poolSeen) void this.reattach();
  }

  /** The service worker went to sleep or died. What happened to hosts meanwhile is asked for before it is relied on. */
  poolLost(): void {
    this.poolSeen = false;
    if (this.busy) void this.reattach();
  }

  /** A run that failed under an earlier driver, which may not have lived to take the other stages back before it. */
  skip(run: number, error: ErrorData): void {
    this.failedRuns.set(run, error);
    if (this.keepsState) this.restoreAll = true;
  }

  /** The outputs of a run that replies to the driver. */
  output(run: number): Promise<WireTensors> {
    return new Promise((resolve, reject) => {
      if (this.ended !== null) reject(this.ended);
      else this.waiters.set(run, { resolve, reject });
    });
  }

  ack(run: number): void {
    if (run <= this.acked) return;
    this.costs.end(this.acked, run, this.needs.now());
    this.acked = run;
    this.prove();
    this.refreshSafe();
  }

  get durableRun(): number {
    return this.points.durable;
  }

  /** From the pool: faults, replacements, failures. */
  poolEvent(event: SessionEvent): void {
    this.needs.tell(event);
    if (event.type === "fault") this.stageLost(event.stage, event.attempt, event.category);
    else if (event.type === "stage") {
      this.stages[event.stage.stage] = newer(this.stages[event.stage.stage], event.stage);
      if (this.allReady) void this.rewire();
    } else if (event.type === "failed") this.end(HoldfastError.from(event.error));
  }

  /** The service worker restarted: what it told nobody is asked for. */
  async reattach(): Promise<void> {
    this.poolSeen = true;
    let told: readonly StageInfo[];
    try {
      told = await this.needs.attach();
    } catch (error) {
      return this.end(HoldfastError.from(toErrorData(error)));
    }
    if (this.ended !== null) return;
    const before = this.stages;
    // Events come another way and may have overtaken this answer.
    this.stages = told.map((stage, index) => newer(before[index], stage));
    const changed = this.stages.filter(
      ({ attempt, phase }, index) => attempt !== before[index]?.attempt || phase !== before[index]?.phase,
    );
    // Nobody told of these losses; they are noted now, or their recovery would never be called verified.
    for (const { stage } of changed) this.noteLoss(stage);
    if (changed.length === 0 && this.wired) return;
    if (changed.length > 0) this.wired = false;
    if (this.allReady) await this.rewire();
  }

  private get allReady(): boolean {
    return this.stages.every(({ phase }) => phase === "ready");
  }

  private noteLoss(stage: number): void {
    this.costs.disturbed();
    this.proof.stageLost(stage, this.needs.now());
    this.failedWirings = 0;
    if (!this.keepsState) this.restoreAll = true;
  }

  get busy(): boolean {
    return this.ended === null && (!this.wired || [...this.submitted.keys()].some((run) => run > this.acked));
  }

  /** The page released the session. */
  close(): void {
    this.stop(new HoldfastError("SESSION_RELEASED", "The session was released; create a new one."));
  }

  end(error: HoldfastError): void {
    if (this.stop(error)) this.needs.sessionFailed(toErrorData(error));
  }

  private stop(error: HoldfastError): boolean {
    if (this.ended !== null) return false;
    this.ended = error;
    this.epoch++;
    for (const link of this.links) link.close();
    for (const { reject } of this.waiters.values()) reject(error);
    this.waiters.clear();
    this.unblock();
    return true;
  }

  private stageLost(stage: number, attempt: number, category: ErrorData["category"]): void {
    const known = this.stages[stage];
    // News of a host that was replaced meanwhile.
    if (known === undefined || attempt < known.attempt) return;
    this.stages[stage] = { ...known, attempt, phase: "lost" };
    this.wired = false;
    this.epoch++;
    this.noteLoss(stage);
    const level = this.info.options.faultToleranceLevel;
    // Levels without state: at none every run under way fails; at low a stateless run is tried again.
    if (level === "none")
      this.failRuns(
        new HoldfastError(
          "HOST_LOST",
          "The host died and level none does not recover runs. Run again, or use a higher faultToleranceLevel.",
          { category },
        ),
      );
    else if (level === "low" && this.stateful)
      this.failRuns(
        new HoldfastError(
          "STATE_LOST",
          "The host died and level low keeps no state. Start again with reset, or use level medium.",
          { category },
        ),
      );
  }

  private failRuns(error: HoldfastError): void {
    for (const { run, reply } of [...this.submitted.values()]) {
      if (run <= this.acked) continue;
      if (reply === "page") this.needs.runFailed(run, toErrorData(error));
      this.waiters.get(run)?.reject(error);
      this.waiters.delete(run);
      this.acked = run;
    }
    this.submitted.clear();
    this.refreshSafe();
  }

  private async rewire(): Promise<void> {
    // Before the page has named the runs that it can feed again, no way back can be chosen.
    if (this.ended !== null || !this.started) return;
    const epoch = ++this.epoch;
    this.wired = false;
    for (const link of this.links) link.close();
    const wiring = this.needs.wirer.wire(this.info.sessionId, this.stages, {
      output: (message) => this.outputCame(message),
      stored: (stage, run) => this.storedCame(stage, run),
      storeFailed: (error) => this.end(HoldfastError.from(error)),
    });
    this.links = wiring.links;
    const missing = await wiring.missing;
    if (epoch !== this.epoch) return;
    // Ports are lost with a service worker that dies. Again and again the same ones: nobody is there to take them.
    if (missing.length > 0) return this.unanswered(missing, ++this.failedWirings % WIRINGS_FAILED_MAX === 0);
    this.failedWirings = 0;
    const answers = await Promise.all(wiring.links.map((link) => link.sync(epoch)));
    if (epoch !== this.epoch) return;
    const statuses = answers.filter((status) => status !== null);
    if (statuses.length < answers.length) return this.unanswered(silentOf(answers), true);
    const unstored = statuses.find(({ storeError }) => storeError !== null)?.storeError;
    if (unstored) return this.end(HoldfastError.from(unstored));
    // The stages know it: what an interrupted way back has deleted is on no list of theirs.
    for (const [stage, status] of statuses.entries()) this.points.stored[stage] = new Set(status.stored);
    this.moveSafe();
    const { acked } = this;
    const { safe } = this.points;
    const begin = this.needs.now();
    const back = await putBack({
      links: wiring.links,
      statuses,
      ways: this.ways(),
      safe,
      acked,
      // Without kept outputs, a stage that is not where the others are cannot be helped on: all start again.
      restoreAll: this.restoreAll || (!this.keepsState && statuses.some(({ run }) => run !== safe)),
      isCurrent: () => epoch === this.epoch,
      stored: (stage, runs) => {
        this.points.stored[stage] = new Set(runs);
      },
      damaged: (stage, run) => void this.points.stored[stage]?.delete(run),
    });
    if (back === null) return;
    if (!back.done) return "silent" in back ? this.unanswered(back.silent, true) : this.end(back.error);
    const { plan, way } = back;
    if (way.from === "records") this.costs.restoreMs = this.needs.now() - begin;
    this.restoreAll = false;
    this.wired = true;
    for (const [stage, from] of plan.resendFrom.entries()) this.links[stage]?.resend(from);
    wiring.givePorts(plan.feedsFrom);
    let replayed = 0;
    for (const run of this.submitted.values()) {
      if (run.run < plan.feedsFrom) continue;
      this.sendHead(run);
      replayed++;
    }
    const [, lastRun] = boundsOf(this.submitted.keys(), this.acked);
    this.proof.wired(statuses.at(-1)?.run ?? null, lastRun, (stage) => ({
      replayedRuns: plan.restore.includes(stage) ? lastRun - way.run : replayed,
      restoredRun: way.run,
    }));
    this.refreshSafe();
    this.prove();
  }

  /** Where stages can be put back to. */
  private ways(): readonly Way[] {
    const { acked, resets, costs, points } = this;
    const { safe } = points;
    if (!this.stateful || (!this.keepsState && safe < 0)) return [{ run: safe, from: "initial" }];
    if (!this.keepsState) return [{ run: safe, from: "lost" }];
    return points.ways({ runs: this.submitted.keys(), acked, resets, costs });
  }

  /** Asks the pool what it knows, and wires again. `told`: the pool is to look after these stages. */
  private async unanswered(stages: readonly number[], told: boolean): Promise<void> {
    const hosts = stages.flatMap((stage) => this.stages[stage] ?? []);
    if (told) this.needs.unreachable(hosts.map(({ hostId, attempt }) => ({ hostId, attempt })));
    await this.reattach();
  }

  /** A run was answered after a recovery: that is the proof that it worked. */
  private prove(): void {
    const proved = this.proof.answered(this.acked, this.needs.now());
    if (proved === null) return;
    for (const one of proved)
      this.needs.tell({ type: "recovered", hostId: this.stages[one.stage]?.hostId ?? "", ...one });
    this.needs.verified();
  }

  /** Runs of the page come from the page itself; the driver sends its own, and what is to be skipped. */
  private sendHead({ run, reset, reply, feeds }: Submitted): void {
    const head: RunHead = { run, reset, checkpoint: false, safe: this.points.safe, reply };
    const error = this.failedRuns.get(run);
    if (error !== undefined) this.links[0]?.feed({ head, error });
    else if (feeds !== null) this.links[0]?.feed({ head, tensors: feeds() });
  }

  private outputCame(message: StageMessage): void {
    const { run, reply } = message.head;
    const waiter = this.waiters.get(run);
    if ("error" in message) {
      const known = this.failedRuns.has(run);
      this.failedRuns.set(run, message.error);
      this.waiters.delete(run);
      if (reply === "page") this.needs.runFailed(run, message.error);
      waiter?.reject(HoldfastError.from(message.error));
      // Stages before the failing one went on with their state; all go back and skip the run.
      if (!known && this.stateful && this.stages.length > 1) {
        this.restoreAll = true;
        void this.rewire();
      }
      return;
    }
    this.waiters.delete(run);
    waiter?.resolve(message.tensors);
  }

  private storedCame(stage: number, run: number): void {
    this.points.stored[stage]?.add(run);
    this.refreshSafe();
  }

  /**
   * Only while all is wired: what is asked for again must still be there when the request arrives, and what is known of
   * stored state is worth nothing where a stage may be on its way back.
   */
  private refreshSafe(): void {
    if (this.wired) this.moveSafe();
  }

  private moveSafe(): void {
    const { points } = this;
    const before = points.durable;
    const keeps = this.stateful && this.keepsState;
    if (!points.move(this.acked, keeps, this.lastCut())) return;
    for (const runs of [this.submitted, this.resets, this.failedRuns])
      for (const run of runs.keys()) if (run < points.first) runs.delete(run);
    this.costs.forgetBefore(points.first);
    this.needs.safe(points.safe);
    if (this.stateful && points.durable !== before) this.needs.tell({ type: "durable", run: points.durable });
    this.unblock();
  }

  /** A run that starts from initial state makes what was before it unimportant, once that was answered. */
  private lastCut(): number {
    let cut = -1;
    // Not only the last of them: what an earlier driver called safe, the page has dropped.
    for (const run of this.resets) if (run <= this.acked + 1) cut = Math.max(cut, run - 1);
    return cut;
  }

  private unblock(): void {
    for (const resume of this.blocked.splice(0)) resume();
  }
}

/** The stages that gave no answer. */
function silentOf(answers: readonly (object | null)[]): number[] {
  return answers.flatMap((answer, stage) => (answer === null ? [stage] : []));
}
