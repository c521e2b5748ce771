import { type ErrorData, HoldfastError, toErrorData } from "../base/errors.ts";
import { CHECKPOINT_INTERVAL_MS, CHECKPOINT_REPLAY_MS, STANDBY_REPLAY_MS, WIRINGS_FAILED_MAX } from "../base/limits.ts";
import { Room } from "../base/room.ts";
import type { WireTensors } from "../base/tensor.ts";
import { isCoordinated } from "../fault/ladder.ts";
import { LEVELS } from "../fault/levels.ts";
import type { SessionEvent, StageInfo } from "../protocol/events.ts";
import type { SessionInfo } from "../protocol/pool.ts";
import type { StageMessage } from "../protocol/stage.ts";
import { Durability } from "./durability.ts";
import { lossError } from "./losses.ts";
import { Moving } from "./moving.ts";
import { RecoveryProof } from "./proof.ts";
import { putBack } from "./put-back.ts";
import { type Submitted, silentOf } from "./replay.ts";
import { Rest } from "./rest.ts";
import { RunBook } from "./run-book.ts";
import type { DriverStart, SessionDriverNeeds } from "./session-needs.ts";
import { StageTable } from "./stage-table.ts";
import type { TakeUp } from "./take-up.ts";
import { TokenJournal } from "./token-journal.ts";
import type { StageLink } from "./wiring.ts";

/**
 * Drives one session: numbers and heads of its runs, what must be replayed after a loss, and what is safe. Everything
 * may be sent twice, because every receiver drops what it has done; so recovery is: wire anew, ask each stage how far
 * it is, send again what is missing.
 */
export class SessionDriver {
  private readonly stages: StageTable;
  private links: readonly StageLink[] = [];
  private epoch = 0;
  private started = false;
  private wired = false;
  private acked: number;
  private takeUp: TakeUp | null;
  private readonly durability: Durability;
  readonly tokens: TokenJournal;
  private readonly runs: RunBook;
  private readonly room = new Room();
  private readonly proof = new RecoveryProof();
  private restoreAll = false;
  private failedWirings = 0;
  private poolSeen = true;
  readonly rest: Rest;
  readonly moving: Moving;
  private ended: HoldfastError | null = null;
  readonly keepsState: boolean;
  /** All stages are held and put back together. */
  private readonly isCoordinated: boolean;
  readonly stateful: boolean;
  /** Or there are handles that keep something, in a model that has none. */
  private hasState: boolean;

  constructor(
    private readonly needs: SessionDriverNeeds,
    readonly info: SessionInfo,
    { acked, initialAt, takeUp }: DriverStart,
  ) {
    const { faultToleranceLevel, recoveryStrategy } = info.options;
    this.isCoordinated = isCoordinated(faultToleranceLevel, recoveryStrategy);
    this.stages = new StageTable(info.stages, info.plan.shards.length, this.isCoordinated);
    this.acked = acked;
    this.takeUp = takeUp;
    const level = LEVELS[faultToleranceLevel];
    this.keepsState = level.keepsState;
    this.stateful = info.plan.stateInputs.length > 0;
    this.hasState = this.stateful;
    this.runs = new RunBook(this.stateful);
    this.tokens = new TokenJournal({
      after: needs.after,
      save: (entry) => needs.journal({ ...entry, durableRun: this.durability.point.run }),
      saved: () => this.durability.refresh(),
    });
    if (takeUp?.generation) this.tokens.isKnown(takeUp.generation);
    const { runs, tokens, keepsState } = this;
    this.durability = new Durability(info.plan.shards.length, initialAt, {
      ...{ runs, tokens, keepsState, after: needs.after },
      standing: () => {
        const { wired, hasState, links, rest } = this;
        return { wired, acked: this.acked, hasState, links, isEnded: this.ended !== null, idleMs: rest.idleMs };
      },
      // A session that an older version of the extension has parked names none.
      intervalMs: info.options.checkpointIntervalMs ?? CHECKPOINT_INTERVAL_MS,
      replayMs: level.standbys ? STANDBY_REPLAY_MS : CHECKPOINT_REPLAY_MS,
      now: () => needs.now(),
      stored: (run) => needs.stored(run),
      durable: (run) => needs.durable(run),
      safe: (run) => needs.safe(run),
      changed: () => this.room.look(),
      failed: (error) => {
        this.rest.storeFailed(error);
        this.rest.changed();
      },
      tell: (event) => needs.tell(event),
      unstorable: (error) => this.end(HoldfastError.from(error)),
    });
    this.rest = new Rest({
      state: () => {
        const { wired, acked, epoch, links, ended } = this;
        return { wired, acked, lastRun: this.lastRun(), epoch, links, ended };
      },
      isBound: () => this.hasState && !this.keepsState,
      point: this.durability.point,
      flushTokens: () => this.tokens.flush(),
      unwire: () => {
        this.unwire();
        this.stages.allLost();
      },
      park: () => needs.park(),
      reattach: () => this.reattach(),
      tell: (event) => needs.tell(event),
      now: () => needs.now(),
      after: needs.after,
    });
    this.moving = new Moving({
      ...{ runs, durability: this.durability, rest: this.rest, after: needs.after, hold: needs.hold },
      unwire: () => this.unwire(),
      goOn: () => void (this.wired ? this.rewire() : this.reattach()),
    });
    // A driver that takes a session up may come in the middle of a recovery.
    for (const { stage, phase } of info.stages) if (phase !== "ready") this.noteLoss(stage);
  }

  /** Ports to the stages. Call once; later losses are handled from inside. */
  async start(): Promise<void> {
    this.started = true;
    if (this.stages.canWire) await this.rewire();
  }

  /** Takes a run up: sends it, or keeps it until the stages are wired. Runs come in the order of their numbers. */
  async submit(run: Submitted): Promise<void> {
    if (this.ended !== null) throw this.ended;
    if (run.lineage !== undefined) this.hasState = true;
    this.durability.points.submitted(run);
    this.runs.add(run);
    this.rest.run();
    // Of a generation that is taken up, all runs are named; most were done before.
    const isNew = run.run > this.acked;
    if (this.wired && isNew) this.durability.costs.begin(run.run, this.needs.now());
    this.durability.refresh();
    const isFull = (): boolean => this.ended === null && this.durability.isFull(run.run);
    if (isFull()) await this.room.wait(isFull);
    if (this.wired && isNew && !this.moving.holds) this.sendHead(run);
    if (!this.poolSeen) void this.reattach();
  }

  /** The service worker went to sleep or died. What happened to hosts meanwhile is asked for before it is relied on. */
  poolLost(): void {
    if (this.rest.isParked) return;
    this.poolSeen = false;
    if (this.moving.cancel()) void this.rewire(); // What it had planned ended with it.
    if (this.busy) void this.reattach();
  }

  /** A run that failed under an earlier driver, which may not have lived to take the other stages back before it. */
  skip(run: number, error: ErrorData): void {
    this.runs.failed.set(run, error);
    if (this.keepsState) this.restoreAll = true;
  }

  /** The outputs of a run that replies to the driver. */
  output(run: number): Promise<WireTensors> {
    return this.ended === null ? this.runs.output(run) : Promise.reject(this.ended);
  }

  ack(run: number): void {
    if (run <= this.acked) return;
    const before = this.acked;
    this.acked = run;
    this.durability.answered(before, run);
    this.prove();
    this.durability.refresh();
    this.rest.changed();
  }

  /** From the pool: faults, replacements, failures. */
  poolEvent(event: SessionEvent): void {
    this.needs.tell(event);
    if (event.type === "fault") this.stageLost(event.stage, event.attempt, event.category);
    else if (event.type === "stage") {
      this.stages.told(event.stage);
      if (this.stages.canWire) void this.rewire();
    } else if (event.type === "failed") this.end(HoldfastError.from(event.error));
  }

  /** The service worker restarted: what it told nobody is asked for. */
  async reattach(): Promise<void> {
    this.poolSeen = true;
    let told: readonly StageInfo[];
    const since = this.needs.now();
    try {
      told = await this.needs.attach(this.rest.isParked ? [] : this.stages.all);
    } catch (error) {
      const reason = HoldfastError.from(toErrorData(error));
      // Hosts are not to be had now: what was asked for fails, and is skipped when there are some.
      return this.rest.refused(reason) ? this.failed(this.runs.skip(this.acked, reason), reason) : this.end(reason);
    }
    const parkedMs = this.rest.attached(since);
    if (this.ended !== null) return;
    const changed = this.stages.toldAll(told);
    // Nobody told of these losses; they are noted now, or their recovery would never be called verified.
    if (parkedMs === null) for (const { stage } of changed) this.noteLoss(stage);
    else this.needs.tell({ type: "resumed", ms: parkedMs });
    if (changed.length === 0 && this.wired) return;
    if (changed.length > 0) this.wired = false;
    if (this.stages.canWire) await this.rewire();
  }

  private noteLoss(stage: number): void {
    this.durability.costs.disturbed();
    this.proof.stageLost(stage, this.needs.now());
    this.failedWirings = 0;
    if (!this.keepsState || this.isCoordinated) this.restoreAll = true;
  }

  get busy(): boolean {
    if (this.ended !== null || this.rest.isParked) return false;
    return !this.wired || this.lastRun() > this.acked;
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
    this.durability.end();
    this.takeUp?.failed(error);
    this.runs.end(error);
    this.moving.cancel();
    this.rest.changed();
    this.room.look();
    return true;
  }

  private stageLost(stage: number, attempt: number, category: ErrorData["category"]): void {
    if (!this.stages.lost(stage, attempt)) return;
    this.noteLoss(stage);
    // The other replicas go on, unless they wait for a move that is off now.
    if (!this.moving.cancel() && this.wired && this.stages.canWire) return;
    this.wired = false;
    if (this.isCoordinated) for (const link of this.links) link.hold();
    if (this.stages.canWire) void this.rewire();
    else this.epoch++;
    const error = lossError(this.info.options.faultToleranceLevel, this.stateful, category);
    if (error !== null) this.failRuns(error);
  }

  private failed(runs: Iterable<number>, error: HoldfastError): void {
    for (const run of runs) this.needs.runFailed(run, toErrorData(error));
    this.acked = Math.max(this.acked, this.lastRun());
  }

  private failRuns(error: HoldfastError): void {
    this.needs.unwired();
    this.failed(this.runs.fail(this.acked, error), error);
    this.runs.submitted.clear();
    this.durability.refresh();
  }

  private async rewire(): Promise<void> {
    // Before the page has named the runs that it can feed again, no way back can be chosen.
    if (this.ended !== null || !this.started) return;
    this.moving.cancel();
    const epoch = this.unwire();
    const wiring = this.needs.wirer.wire(this.info.sessionId, this.stages.all, {
      output: (message) => this.outputCame(message),
      stored: (stage, run) => this.durability.stored(stage, run),
      storeFailed: (stage, run, error) => this.durability.failed(stage, run, error),
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
    // The stages know it: what an interrupted way back has deleted is on no list of theirs.
    const { points, costs } = this.durability;
    for (const [stage, status] of statuses.entries()) points.stored[stage] = new Set(status.stored);
    const goesOn = this.takeUp?.point(points.stored, this.stateful, this.keepsState) ?? null;
    if (goesOn !== null) {
      // Nothing is left of what was under way.
      this.acked = goesOn.run;
      this.durability.goOnAt(goesOn);
      this.restoreAll = true;
    }
    this.durability.move();
    const { acked } = this;
    const begin = this.needs.now();
    const back = await putBack({
      links: wiring.links,
      statuses,
      ways: goesOn === null ? this.moving.ways(this.durability.ways(this.stages.allReady)) : [goesOn],
      safe: points.safe,
      acked,
      durable: Math.min(acked, points.durable),
      // Without kept outputs, a stage that is not where the others are cannot be helped on: all start again.
      restoreAll: this.restoreAll || (!this.keepsState && statuses.some(({ run }) => run !== points.safe)),
      isCurrent: () => epoch === this.epoch,
      now: () => this.needs.now(),
      sleep: (ms) => new Promise((resolve) => this.needs.after(ms, resolve)),
      stored: (stage, runs) => {
        points.stored[stage] = new Set(runs);
      },
      damaged: (stage, run) => void points.stored[stage]?.delete(run),
    });
    if (back === null) return;
    if (!back.done) {
      if ("silent" in back) return this.unanswered(back.silent, true);
      // What they stored may be with a replica that is on its way; then all are wired anew.
      if (back.error.code === "STATE_LOST" && !this.stages.allReady) return;
      const isDamaged = back.error.code === "STATE_LOST" && goesOn?.from === "records";
      // What is damaged is refused, and an older point taken.
      return isDamaged && this.takeUp?.refuse(goesOn.run) ? this.rewire() : this.end(back.error);
    }
    const { plan, way } = back;
    if (way.from === "records") costs.restoreMs = this.needs.now() - begin;
    if (goesOn !== null) this.takeUp?.done(goesOn);
    this.takeUp = null;
    this.restoreAll = false;
    this.wired = true;
    this.moving.wired();
    this.durability.wired();
    for (const [stage, from] of plan.resendFrom.entries()) this.links[stage]?.resend(from);
    wiring.givePorts(plan.feedsFrom);
    const replayed = [...this.runs.submitted.values()].filter(({ run }) => run >= plan.feedsFrom);
    for (const run of replayed) this.sendHead(run);
    const lastRun = this.lastRun();
    const replay = (stage: number) => ({
      replayedRuns: plan.restore.includes(stage) ? lastRun - way.run : replayed.length,
      restoredRun: way.run,
      restoreMs: way.from === "records" ? costs.restoreMs : 0,
    });
    this.proof.wired(statuses.at(-1)?.run ?? null, lastRun, replay, this.stages);
    this.durability.refresh();
    this.prove();
    this.rest.changed();
  }

  /** Closes all ports. Returns the epoch of those that come. */
  private unwire(): number {
    this.wired = false;
    for (const link of this.links) link.close();
    return ++this.epoch;
  }

  /** Asks the pool what it knows, and wires again. `told`: the pool is to look after these stages. */
  private async unanswered(stages: readonly number[], told: boolean): Promise<void> {
    if (told) this.needs.unreachable(this.stages.leases(stages));
    await this.reattach();
  }

  /** A run was answered after a recovery: that is the proof that it worked. */
  private prove(): void {
    const proved = this.proof.answered(this.acked, this.needs.now());
    const at = this.needs.wallNow();
    for (const one of proved ?? [])
      this.needs.tell({ type: "recovered", at, hostId: this.stages.all[one.stage]?.hostId ?? "", ...one });
    if (proved !== null) this.needs.verified();
  }

  private lastRun(): number {
    return this.runs.last(this.acked);
  }

  /** Runs of the page come from the page itself; the driver sends its own, and what is to be skipped. */
  private sendHead(run: Submitted): void {
    const checkpoint = this.rest.wantsCheckpoint && run.feeds !== null;
    if (checkpoint) this.rest.wantsCheckpoint = false;
    const message = this.runs.message(run, checkpoint, this.durability.safe);
    if (message !== null) this.links[0]?.feed(message);
  }

  private outputCame(message: StageMessage): void {
    const { run, reply } = message.head;
    const known = this.runs.failed.has(run);
    this.runs.answered(message);
    if ("error" in message) {
      if (reply === "page") this.needs.runFailed(run, message.error);
      // Stages before the failing one went on with their state; all go back and skip the run.
      if (!known && this.hasState && this.stages.all.length > 1) {
        this.restoreAll = true;
        void this.rewire();
      }
    }
  }
}
