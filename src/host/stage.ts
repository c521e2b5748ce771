import { byteLengthOf } from "../base/bytes.ts";
import { HoldfastError, messageOf, toErrorData } from "../base/errors.ts";
import { CHECKPOINTS_UNSTORED_MAX, RESIDENT_BYTES_MAX, RESIDENT_HANDLES_MAX } from "../base/limits.ts";
import type { WireTensor, WireTensors } from "../base/tensor.ts";
import type { CheckpointRecord } from "../protocol/host.ts";
import {
  isLineage,
  type KeptTensor,
  type Lineage,
  outputKey,
  type ResidentKey,
  runOf,
  stateKey,
} from "../protocol/lineage.ts";
import type { Pace, RestoreFrom, RunHead, StageMessage, StageStatus } from "../protocol/stage.ts";
import type { ShardSpec } from "../shard/types.ts";
import { allOnHost } from "./device-data.ts";
import { Marks } from "./marks.ts";
import { Residents } from "./residents.ts";
import { rowsDigest } from "./rows-digest.ts";
import { STATE_LOST } from "./state-lost.ts";
import { StoredRuns } from "./stored-runs.ts";
import { takeInput } from "./take-input.ts";

export interface StageNeeds {
  /** Runs the shard. Rejects with the runtime's error. */
  execute(inputs: WireTensors): Promise<WireTensors>;
  /** Sends downstream; the last stage sends to whom the head names. */
  send(message: StageMessage): void;
  checkpoint(record: CheckpointRecord): void;
  records(run: number): Promise<readonly CheckpointRecord[]>;
  /** Deletes stored records of runs after this one, and those on their way. */
  forgetAfter(run: number): Promise<void>;
  /** True: the host is lost and must not answer; somebody else will run this again. */
  fatal(error: unknown): boolean;
  runStarted(run: number, inputs: WireTensors): void;
  runEnded(run: number): void;
  /** What the run gave; absent: nobody compares. */
  ran?(run: number, tensors: WireTensors): void;
  hold(phase: "dispatch" | "compute" | "answer", run: number): Promise<void>;
}

/**
 * One stage of one session. Runs are numbered without gaps and each is executed once: what arrives twice is dropped,
 * what arrives early waits, and outputs are kept until the head says that they are safe (upstream backup).
 * So after any loss everybody may simply send everything again.
 */
export class Stage {
  private readonly residents: Residents;
  private readonly waiting = new Map<number, StageMessage>();
  private readonly kept = new Map<number, StageMessage>();
  private readonly runs: StoredRuns;
  private readonly marks: Marks;
  private run: number | null = null;
  private pumping: Promise<void> | null = null;
  private lost = false;
  private stateLost = false;
  /** Handles have kept something, here or in another stage. */
  private handles = false;
  private answered = -1;
  private dropped = -1;
  /** What handles kept up to this run was lost with the state; null: nothing was. */
  private keptLost: number | null = null;
  private turn: Promise<unknown> = Promise.resolve();
  private held = true;

  constructor(
    private readonly needs: StageNeeds,
    private readonly spec: ShardSpec,
    private readonly options: {
      readonly durable: boolean;
      readonly stored: readonly number[];
      /** After a failure of its own it waits to be restored: other stages' state has gone on with that run. */
      readonly stopsAtFailure: boolean;
      /** Some stage of the session has state, this one or another: they make durable points together. */
      readonly stateful: boolean;
      /** The pipeline ends here. */
      readonly last: boolean;
      /** Other hosts do the same runs, and answers are compared. */
      readonly votes?: boolean;
    },
  ) {
    this.residents = new Residents(spec.state, spec.shapes);
    this.marks = new Marks(spec.index === 0 && options.durable);
    this.runs = new StoredRuns(options.stored);
  }

  /** Bytes of the state and of the outputs that are kept. */
  get liveBytes(): number {
    let bytes = this.stateBytes;
    for (const message of this.kept.values()) if ("tensors" in message) bytes += byteLengthOf(message.tensors);
    return bytes;
  }

  /** Bytes of the newest state and of what handles keep. */
  get stateBytes(): number {
    return this.residents.bytes;
  }

  /** A standby learns what others stored for its stage. */
  storedAre(runs: readonly number[]): void {
    this.runs.are(runs);
  }

  /** A run: from the page, the driver or the stage before. */
  receive(message: StageMessage): void {
    const { run } = message.head;
    if (this.run !== null && run <= this.run) return;
    const known = this.waiting.get(run);
    // Of a run that is skipped the page may not know yet, and feed it.
    if (known === undefined || "error" in message || !("error" in known)) this.waiting.set(run, message);
    this.pump();
  }

  /** Other stages are being put back: what was begun ends here, and goes no further. */
  hold(): void {
    this.held = true;
  }

  /** New channels: what waited will be sent again, and until the driver says so nothing is sent or begun. */
  rewired(): void {
    this.waiting.clear();
    this.hold();
  }

  /** Answers once the run under way has ended. */
  sync(): Promise<StageStatus> {
    return this.inTurn(async () => {
      await this.pumping;
      return this.status();
    });
  }

  /** Runs up to `answered` are done again and must not fail. What is stored up to `durable` was promised, and stays. */
  restore(run: number, from: RestoreFrom, answered = -1, durable = -1): Promise<StageStatus> {
    return this.inTurn(async () => {
      await this.pumping;
      // They may hold a run that is skipped from here on, and a host that comes after this one would offer them.
      const mayHaveStored = this.options.durable && (this.hasState || this.runs.any);
      this.residents.restore(from === "records" ? await this.needs.records(run) : []);
      this.handles = from === "records";
      const kept = Math.max(run, durable);
      if (mayHaveStored) await this.needs.forgetAfter(kept);
      this.stateLost = from === "lost" && this.hasState;
      if (from === "lost") this.keptLost = run;
      this.kept.clear();
      this.dropped = run;
      this.answered = answered;
      this.marks.begin(run);
      this.runs.goBack(kept);
      this.run = run;
      // It may have come from another replica.
      if (from === "records") this.runs.add(run);
      return this.status();
    });
  }

  /** A checkpoint that no run's head asked for: nothing is under way, and the host is to go. */
  store(run: number, toMove = false): Promise<StageStatus> {
    return this.inTurn(async () => {
      await this.pumping;
      if (this.run === run && (this.options.durable || toMove) && !this.runs.has(run)) this.beginStoring(run);
      return this.status();
    });
  }

  /** A restore that an earlier wiring asked for ends before a later one asks how far this stage is. */
  private inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = this.turn.then(step);
    this.turn = done.catch(() => undefined);
    return done;
  }

  /** Sends what is kept from this run on, and goes on. */
  resend(from: number): void {
    this.held = false;
    for (const [run, message] of this.kept) if (run >= from) this.needs.send(message);
    this.pump();
  }

  /** A checkpoint lies in storage. False: it is one from before a restore and counts for nothing. */
  stored(run: number): boolean {
    const counts = this.runs.end(run);
    if (counts) {
      this.residents.confirm(run);
      this.runs.add(run);
    }
    this.pump();
    return counts;
  }

  /** A checkpoint could not be stored: the next one takes along what it held. False: as in `stored`. */
  storeFailed(run: number): boolean {
    const counts = this.runs.end(run);
    if (counts) this.residents.unstored(run);
    this.pump();
    return counts;
  }

  /** How often the session is to make a durable point; only its first stage need know. */
  pace(pace: Pace): void {
    this.marks.pace(pace);
  }

  /** Or what handles keep, in a model that has none. */
  private get hasState(): boolean {
    return this.options.stateful || this.residents.any || this.handles;
  }

  private status(): StageStatus {
    return { run: this.run, stored: this.runs.all, dropped: this.dropped };
  }

  private pump(): void {
    this.pumping ??= this.work().finally(() => {
      this.pumping = null;
      if (this.next() !== null && !this.lost) this.pump();
    });
  }

  private next(): StageMessage | null {
    if (this.run === null || this.held) return null;
    // Runs that each start from initial state make a checkpoint each, faster than storage takes them.
    if (this.runs.onTheirWay > CHECKPOINTS_UNSTORED_MAX) return null;
    return this.waiting.get(this.run + 1) ?? null;
  }

  private async work(): Promise<void> {
    for (let message = this.next(); message !== null && !this.lost; message = this.next()) {
      this.waiting.delete(message.head.run);
      const answer = await this.process(this.marks.mark(message));
      if (answer === null) return;
      this.run = message.head.run;
      if (this.options.durable) this.keep(answer);
      // Told before it goes on: whoever compares hears of it no later than of what comes of it.
      if (!this.held && "tensors" in answer) this.needs.ran?.(this.run, answer.tensors);
      // Into channels that nobody has agreed on it would bring what a restore is about to undo; it is kept.
      if (!this.held) this.needs.send(answer);
      if ("error" in answer && !("error" in message) && this.options.stopsAtFailure) {
        this.run = null;
        return;
      }
      if (this.options.durable && this.hasState && this.marks.isPoint(answer)) this.beginStoring(this.run);
    }
  }

  private beginStoring(run: number): void {
    const record = this.residents.checkpoint(run);
    this.runs.begin(run, record.previous === null);
    this.needs.checkpoint(record);
  }

  private async process(message: StageMessage): Promise<StageMessage | null> {
    const { head } = message;
    try {
      this.begin(head);
      if ("error" in message) return message;
      if (head.lineage?.pass) return await this.pass(head, head.lineage.pass.read, message);
      return await this.compute(message);
    } catch (error) {
      // One that fails in another stage fails for that reason.
      if ("error" in message) return message;
      this.needs.runEnded(head.run);
      // Skipped, it would be missing from the state of all runs after it, whose caller has its answer.
      const failed =
        head.run <= this.answered
          ? new Error(`run ${head.run} failed when it was done again: ${messageOf(error)}`)
          : error;
      if (this.needs.fatal(failed)) {
        this.lost = true;
        return null;
      }
      return { head, error: toErrorData(error, "RUN_FAILED") };
    }
  }

  /**
   * Drops what nobody holds any more and goes to the state that the run starts from. It stays there should the run fail,
   * here as in a replay.
   */
  private begin({ reset, lineage }: RunHead): void {
    if (lineage !== undefined && !isLineage(lineage))
      throw new HoldfastError("BAD_FEEDS", "The run's head does not say properly what it goes on from.");
    if (lineage !== undefined) this.handles = true;
    for (const key of lineage?.drop ?? []) this.residents.drop(key);
    if (reset) this.residents.reset();
    const from = lineage?.from ?? null;
    if (from !== null && !this.residents.branch(from)) {
      // A run that goes on from this one must not take another state for it.
      this.stateLost = true;
      throw this.unknown(from);
    }
    if (reset || from !== null) this.stateLost = false;
    else if (this.stateLost && !lineage?.pass) throw HoldfastError.from(STATE_LOST);
  }

  private unknown(key: ResidentKey): HoldfastError {
    if (this.keptLost !== null && runOf(key) <= this.keptLost) return HoldfastError.from(STATE_LOST);
    return new HoldfastError("HANDLE_UNKNOWN", "The session keeps nothing under this handle: it was disposed of.");
  }

  private async compute(message: Extract<StageMessage, { tensors: object }>): Promise<StageMessage> {
    const { head } = message;
    const { lineage } = head;
    if (lineage) this.checkRoom(lineage);
    const tensors = lineage ? this.withKeptFeeds(message.tensors, lineage) : message.tensors;
    const inputs: Record<string, WireTensor> = { ...this.residents.inputs() };
    // The first stage is fed by the page, which may send anything.
    for (const name of this.spec.inputs) inputs[name] = takeInput(tensors, name, lineage);
    await this.needs.hold("dispatch", head.run);
    this.needs.runStarted(head.run, inputs);
    await this.needs.hold("compute", head.run);
    const outputs = await this.needs.execute(inputs);
    this.needs.runEnded(head.run);
    await this.needs.hold("answer", head.run);
    this.residents.take(outputs, head.run, inputs);
    const emitted: Record<string, WireTensor> = {};
    for (const name of this.spec.emits) {
      const tensor = outputs[name] ?? tensors[name];
      // A kept feed that a later stage adds is not there yet.
      if (tensor !== undefined) emitted[name] = tensor;
    }
    const answer = lineage ? this.keepFor(head, lineage, emitted, outputs, message.kept) : { head, tensors: emitted };
    if (!this.options.votes || "error" in answer) return answer;
    return { ...answer, rows: rowsDigest(this.spec, inputs, outputs, lineage?.keepOutputs) };
  }

  /** Keeps what the run's head asks for; the answer says what that is, of this stage and those before. */
  private keepFor(
    head: RunHead,
    { keep, keepOutputs }: Lineage,
    emitted: Record<string, WireTensor>,
    outputs: WireTensors,
    before: readonly KeptTensor[] = [],
  ): StageMessage {
    const kept: Record<string, WireTensor> = keep ? { ...this.residents.keep(stateKey(head.run)) } : {};
    for (const name of keepOutputs) {
      const tensor = outputs[name];
      if (tensor !== undefined) {
        this.residents.keepOutput(outputKey(head.run, name), name, tensor);
        kept[name] = tensor;
      }
      if (this.options.last) delete emitted[name];
    }
    return { head, tensors: emitted, kept: [...before, ...this.describe(kept)] };
  }

  private describe(tensors: WireTensors): KeptTensor[] {
    return Object.entries(tensors).map(([name, tensor]) => {
      const { type, dims } = tensor;
      return { stage: this.spec.index, name, type, dims, bytes: byteLengthOf({ tensor }) };
    });
  }

  /** A run that computes nothing: the state stays, and what is read goes to the caller, each stage adding its part. */
  private async pass(
    head: RunHead,
    read: ResidentKey | null,
    { tensors, kept = [] }: Extract<StageMessage, { tensors: object }>,
  ): Promise<StageMessage> {
    const own = read === null ? {} : this.residents.read(read);
    // Of an output only one stage has something.
    if (own === undefined && (read === stateKey(runOf(read as ResidentKey)) || this.keptLost !== null))
      throw this.unknown(read as ResidentKey);
    const all = { ...tensors, ...(await allOnHost(own ?? {})) };
    if (head.lineage?.keep !== true) return { head, tensors: all };
    this.checkRoom(head.lineage);
    if (this.stateLost) throw HoldfastError.from(STATE_LOST);
    const mine = this.residents.keep(stateKey(head.run));
    return { head, tensors: all, kept: [...kept, ...this.describe(mine)] };
  }

  /** Before anything is computed, so that nothing is lost; the same in a replay. */
  private checkRoom({ keep, keepOutputs }: Lineage): void {
    if (!keep && keepOutputs.length === 0) return;
    const { keptCount, keptBytes } = this.residents;
    if (keptCount + keepOutputs.length < RESIDENT_HANDLES_MAX && keptBytes < RESIDENT_BYTES_MAX) return;
    throw new HoldfastError(
      "LIMIT_REACHED",
      `The session's handles keep ${keptCount} versions of ${keptBytes} bytes in one host; dispose() of some.`,
    );
  }

  private withKeptFeeds(tensors: WireTensors, { feeds }: Lineage): WireTensors {
    const all: Record<string, WireTensor> = { ...tensors };
    for (const [input, key] of Object.entries(feeds)) {
      const tensor = Object.values(this.residents.read(key) ?? {})[0];
      if (tensor !== undefined) all[input] = tensor;
      else if (this.keptLost !== null && runOf(key) <= this.keptLost) throw HoldfastError.from(STATE_LOST);
    }
    return all;
  }

  private keep(answer: StageMessage): void {
    this.kept.set(answer.head.run, answer);
    this.dropped = Math.max(this.dropped, answer.head.safe);
    for (const run of this.kept.keys()) if (run <= answer.head.safe) this.kept.delete(run);
  }
}
