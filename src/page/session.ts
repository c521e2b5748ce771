import type { Tensor } from "onnxruntime-common";
import { HoldfastError, toErrorData } from "../base/errors.ts";
import { LateNumber } from "../base/late-number.ts";
import { RUNS_UNANSWERED_MAX, TOLD_LATE_MS, TOLD_TOGETHER_RUNS } from "../base/limits.ts";
import { PLATFORM, type Platform } from "../base/platform.ts";
import { Room } from "../base/room.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { Resumed, TokenizerFiles } from "../protocol/client.ts";
import type { SessionEvent, StageInfo } from "../protocol/events.ts";
import type { SessionOptions } from "../protocol/options.ts";
import type { SessionInfo } from "../protocol/pool.ts";
import type { StageMessage } from "../protocol/stage.ts";
import type { ValueSpec } from "../shard/types.ts";
import { Attachment } from "./attachment.ts";
import type { DriverPeer } from "./bridge-connection.ts";
import { aborted, busy, Generating } from "./generating.ts";
import { continuationOf, type Generation, requestOf } from "./generation.ts";
import { type Guarantees, guaranteesOf, keepsState } from "./guarantees.ts";
import { nameRuns } from "./name-runs.ts";
import { type Plan, planOf } from "./plan.ts";
import { Ports } from "./ports.ts";
import {
  type Answer,
  type Asked,
  checkKeep,
  type Feeds,
  type KeptOutputs,
  type KeptState,
  type Resident,
  ResidentTable,
  splitFeeds,
} from "./residents.ts";
import { type FedRun, RunLog } from "./run-log.ts";
import type { GenerateOptions, KeepOptions, ResumeGenerationOptions, RunOptions, Token } from "./run-options.ts";
import { stagesAfter } from "./stages-after.ts";
import { giveOutputs, takeFeeds } from "./tensors.ts";
import { Unanswered } from "./unanswered.ts";

/**
 * One model, loaded. Runs are numbered here, in the process that outlives everything else, and kept until they can no
 * longer be needed for replay; so a page's code never has to try anything again.
 */
export class Session {
  private info: SessionInfo | null = null;
  private currentStages: readonly StageInfo[] = [];
  private readonly listeners = new Set<(event: SessionEvent) => void>();
  private readonly waiting = new Unanswered();
  private readonly log = new RunLog();
  private readonly residents: ResidentTable;
  /** Ends with the runs that compute nothing: a later may fail first, and another begin. Keeps none of their answers. */
  private passing: Promise<unknown> = Promise.resolve();
  private readonly attachment: Attachment;
  private readonly ports = new Ports(this.log, (message) => this.answered(message));
  private next = 0;
  private acked = -1;
  private readonly acks: LateNumber;
  private durableUpTo = -1;
  /** After this run the stages had initial state, when this page began with them. */
  private initialAt = -1;
  private readonly generating: Generating;
  private readonly room = new Room();
  private ended: HoldfastError | null = null;

  constructor(
    peer: DriverPeer,
    private options: SessionOptions,
    private readonly tokenizer: TokenizerFiles | null,
    onEvent: (event: SessionEvent) => void,
    private readonly forget: () => void,
    platform: Pick<Platform, "after"> = PLATFORM,
  ) {
    this.attachment = new Attachment(peer);
    this.listeners.add(onEvent);
    const tell = (run: number): void => {
      if (this.ended === null) this.peer.emit("ack", { sessionId: this.id, run });
    };
    this.residents = new ResidentTable({
      pass: async (read) => giveOutputs((await this.submit({}, { pass: { read } })).tensors),
      // Of a generation that may be gone on with, the next run number is its own.
      mayPass: () => this.ended === null && this.generating.current === null && this.generating.known === null,
      after: platform.after,
    });
    this.generating = new Generating({
      id: () => this.id,
      peer: () => this.peer,
      isAttached: () => this.attachment.isAttached,
      ack: (run) => this.ack(run),
      ended: (generation, lastRun) => this.generationEnded(generation, lastRun),
    });
    this.acks = new LateNumber(tell, TOLD_TOGETHER_RUNS, TOLD_LATE_MS, platform);
  }

  private get peer(): DriverPeer {
    return this.attachment.peer;
  }

  get id(): string {
    return this.info?.sessionId ?? this.name ?? "";
  }
  /** What `run` takes: names, element types, dims (names for symbolic ones). Bound state is not among them. */
  get inputs(): readonly ValueSpec[] {
    return this.plan.feeds;
  }
  get outputs(): readonly ValueSpec[] {
    return this.plan.results;
  }
  get plan(): Plan {
    if (this.info === null) throw new HoldfastError("INTERNAL", "the session is not open yet");
    return planOf(this.info.plan);
  }
  get stages(): readonly StageInfo[] {
    return this.currentStages;
  }
  /** How equal a recovered result is, why, and what dies together. */
  get guarantees(): Guarantees {
    return guaranteesOf(this.options, this.currentStages, this.plan.stateInputs.length > 0);
  }

  /** The number of the next run. After a resume: the one after the run that the state was stored for. */
  get nextRun(): number {
    return this.next;
  }
  /** The last run that survives everything, the browser's end included; -1: none yet. It grows. */
  get durableRun(): number {
    return this.durableUpTo;
  }
  /** Calls `listener` with progress, faults and recoveries until the returned function is called. */
  on(listener: (event: SessionEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Runs the model once. Feeds and outputs are tensors by name, row-major; a feed may be the handle of a kept output. With
   * `keep: true` the state after the run stays in the hosts under a handle, with names these outputs do, in the host that
   * makes them. Throws BAD_FEEDS, HANDLE_UNKNOWN, LIMIT_REACHED before anything is sent; otherwise the promise settles
   * once, whatever dies meanwhile.
   */
  run(feeds: Feeds, options?: RunOptions & { readonly keep?: false | undefined }): Promise<Record<string, Tensor>>;
  run(feeds: Feeds, options: RunOptions & { readonly keep: true }): Promise<KeptState>;
  run<Name extends string>(feeds: Feeds, options: KeepOptions<Name>): Promise<KeptOutputs<Name>>;
  async run(
    feeds: Feeds,
    { signal, reset = false, from, keep = false }: RunOptions & Pick<Asked, "keep"> = {},
  ): Promise<Record<string, Tensor> | KeptState | KeptOutputs<string>> {
    const { tensors, handles } = splitFeeds(feeds, this.inputs);
    const wire = takeFeeds(tensors, this.inputs, Object.keys(handles));
    const answer = await this.submit(wire, { from, keep, feeds: handles }, reset, signal);
    return this.residents.give(answer, keep);
  }

  /** A handle for the state as it is now: after the last run or generation that was asked for. */
  async keepState(): Promise<Resident> {
    const { head, kept = [] } = await this.submit({}, { keep: true, pass: { read: null } });
    return this.residents.handle(head.run, null, kept);
  }

  /**
   * Continues a prompt (text, or token ids) and yields tokens as they come: each index once, in order, whatever dies
   * meanwhile. The KV cache stays in the hosts. Starts from initial state.
   */
  async *generate(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<Token, void, undefined> {
    const request = requestOf(prompt, options);
    await this.free(options.signal);
    const base = this.next;
    const lineage = this.residents.lineage(base, null);
    const begun = { base, request, lineage, promptIds: null, known: [], ids: [], from: 0 };
    yield* this.generating.stream(begun, options.signal);
  }

  /**
   * Goes on with the last generation, also one that a page before this one began: yields its tokens from `fromIndex` on, the
   * same as if nothing had happened. Throws BAD_OPTIONS when there is none, or when other runs came after it.
   */
  async *resumeGeneration({
    fromIndex = 0,
    signal,
  }: ResumeGenerationOptions = {}): AsyncGenerator<Token, void, undefined> {
    await this.free(signal);
    yield* this.generating.stream(continuationOf(this.generating.known, fromIndex), signal);
  }

  /**
   * Stores the state after all runs so far. Resolves with the last of them once it survives everything: hosts, extension and
   * browser. Throws LEVEL_UNSUPPORTED where the level keeps no state.
   */
  makeDurable(): Promise<number> {
    const durable = (peer: DriverPeer): Promise<number> => {
      this.acks.tell();
      this.log.wantsCheckpoint = true;
      return peer.call("durable", { sessionId: this.id });
    };
    return this.attachment.ask(durable, () => this.ended);
  }

  /** Numbers a run, keeps it for replay and sends it; resolves with its answer. */
  private async submit(feeds: WireTensors, asked: Asked, reset = false, signal?: AbortSignal): Promise<Answer> {
    checkKeep(asked, reset, this.plan);
    const pinned = this.residents.pin(asked);
    let fed: FedRun;
    try {
      await this.enter(signal);
      if (this.generating.current !== null) throw busy();
      const run = this.next++;
      this.generating.known = null;
      fed = { run, reset: reset || run === 0, feeds, lineage: this.residents.lineage(run, pinned) };
    } finally {
      this.residents.unpin(pinned);
    }
    const { run, lineage } = fed;
    this.log.addRun(fed);
    const answer = this.waiting.answer(run, signal, (by) => this.runFailed(run, aborted(by)));
    if (asked.pass !== undefined) this.passing = Promise.allSettled([this.passing, answer]).then(() => {});
    const acked = this.acks.goAlong();
    this.peer.emit("run", { sessionId: this.id, run, reset: fed.reset, error: null, acked, lineage });
    this.ports.feed(fed);
    return answer;
  }

  /** Ends the session, closes its hosts and deletes its stored state. */
  async release(): Promise<void> {
    if (this.ended !== null) return;
    this.fail(new HoldfastError("SESSION_RELEASED", "The session was released; create a new one."));
    await this.attachment.release(this.id);
  }

  get busy(): boolean {
    return this.ended === null && (this.waiting.size > 0 || this.generating.current !== null);
  }

  name: string | null = null; // Its id, where events come before the answer that opens it.

  opened(info: SessionInfo): void {
    this.info = info;
    this.options = info.options;
    this.currentStages = info.stages;
    this.log.isBounded = keepsState(info);
  }

  /** Only what is stored is left of what was before. */
  resumed({ info, run, initial, generation }: Resumed): void {
    this.opened(info);
    this.next = run + 1;
    this.acked = run;
    this.durableUpTo = run;
    this.initialAt = initial ? run : -1;
    this.log.drop(run);
    this.generating.known = generation;
    // What the page before kept is in what is stored, and nobody holds it.
    if (!initial) this.residents.takenUp();
  }

  wire(source: MessagePort, sink: MessagePort, feedsFrom: number): void {
    this.ports.wire(source, sink, feedsFrom);
  }

  /** Answers that still come are of a state that the runs which failed are part of. Other ports follow. */
  unwired(): void {
    this.ports.close();
  }

  /** Hosts are about to change: other ports follow. What is numbered by now was fed. */
  hold(): void {
    this.peer.emit("holds", { sessionId: this.id, run: this.ports.hold(this.next - 1) });
  }

  event(event: SessionEvent): void {
    this.currentStages = stagesAfter(this.currentStages, event);
    for (const listener of this.listeners) listener(event);
  }

  safe(run: number): void {
    // A driver that takes the session up may find less to be safe than the one before it did.
    if (run <= this.log.safe) return;
    this.log.drop(run);
    this.room.look();
  }

  /** Every stage has stored its state after this run. */
  stored(run: number): void {
    this.log.stored(run);
    this.room.look();
  }

  durable(run: number): void {
    this.durableUpTo = Math.max(this.durableUpTo, run);
  }

  prompt(base: number, promptIds: readonly number[]): void {
    this.generating.prompt(base, promptIds);
  }

  token(base: number, token: Token): void {
    this.generating.token(base, token);
  }

  runFailed(run: number, error: HoldfastError): void {
    // One that was answered keeps what it kept, whatever a driver makes of it that had not heard of the answer.
    if (this.waiting.failed(run, error)) this.residents.failed(run);
    // A failed run is skipped when the runs around it are replayed; the driver says so to the stages.
    if (error.code !== "ABORTED") this.log.markFailed(run, toErrorData(error));
    this.ackAnswered();
    this.room.look();
  }

  fail(error: HoldfastError): void {
    if (this.ended !== null) return;
    this.ended = error;
    this.waiting.fail(error);
    this.residents.end(error);
    this.generating.fail(error);
    this.ports.close();
    this.room.look();
    this.attachment.changed();
    this.forget();
  }

  bridgeLost(): void {
    this.attachment.isAttached = false;
    this.event({ type: "bridge", state: "lost", ms: 0 });
  }

  /** A new bridge: names every run that may have to be replayed, and goes on. */
  async attach(peer: DriverPeer, downMs: number): Promise<void> {
    this.attachment.peer = peer;
    if (this.ended !== null || this.info === null) return;
    const { sessionId, secret } = this.info;
    const { acked, initialAt, tokenizer } = this;
    try {
      const info = await peer.call("attach", { sessionId, secret, acked, initialAt, tokenizer });
      // A release while no driver listened is made good now.
      if (this.ended !== null) return void peer.call("release", { sessionId }).catch(() => undefined);
      this.attachment.isAttached = true;
      this.currentStages = info.stages;
      nameRuns(peer, sessionId, this.log, this.acked);
      this.generating.attached(peer);
      peer.emit("ack", { sessionId, run: this.acked });
      peer.emit("resume", { sessionId });
      this.event({ type: "bridge", state: "restored", ms: downMs });
      this.attachment.changed();
    } catch (error) {
      // The next bridge attaches again; a bridge that lives and has no pool behind it will not be replaced.
      if (!peer.isClosed) this.fail(HoldfastError.from(toErrorData(error)));
    }
  }

  private generationEnded({ base, promptIds, ids, lineage }: Generation, lastRun: number): void {
    this.next = Math.max(this.next, lastRun + 1);
    if (promptIds !== null && lastRun > this.log.safe)
      this.log.addGeneration(base, promptIds, ids, lastRun + 1 - base, lineage);
    if (lastRun < base) this.residents.unsaid(lineage);
    this.ack(lastRun);
    this.room.look();
    this.residents.dropSoon();
  }

  private answered(message: StageMessage): void {
    if ("error" in message) return;
    this.waiting.answered(message);
    this.ackAnswered();
    this.room.look();
  }

  /** Runs are answered in order, so all before the oldest that waits are. */
  private ackAnswered(): void {
    this.ack((this.waiting.oldest ?? this.next) - 1);
  }

  private ack(run: number): void {
    if (run <= this.acked || this.ended !== null) return;
    this.acked = run;
    this.acks.grow(run);
  }

  /** Waits until a generation may begin. */
  private async free(signal: AbortSignal | undefined): Promise<void> {
    await this.enter(signal);
    for (let seen: unknown; seen !== this.passing; await seen) seen = this.passing;
    if (this.generating.current !== null || this.waiting.size > 0) throw busy();
  }

  /** Holds new runs back while too much is under way. */
  private async enter(signal: AbortSignal | undefined): Promise<void> {
    // What makes room may wait for an acknowledgement that was not told yet.
    if (this.isFull()) this.acks.tell();
    await this.room.wait(() => this.ended === null && this.isFull(), signal);
    if (this.ended !== null) throw this.ended;
    // The caller may have aborted in the meantime, and an event that has passed does not come again.
    if (signal?.aborted) throw aborted(signal);
  }

  private isFull(): boolean {
    // One that the page has stopped still uses run numbers until the driver says so.
    if (this.generating.current?.stopped) return true;
    return this.waiting.size >= RUNS_UNANSWERED_MAX || this.log.isFull;
  }
}
