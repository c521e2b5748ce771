import type { Tensor } from "onnxruntime-common";
import { HoldfastError, toErrorData } from "../base/errors.ts";
import { LateNumber } from "../base/late-number.ts";
import {
  RESEND_BYTES_MAX,
  RESEND_RUNS_MAX,
  RUNS_UNANSWERED_MAX,
  TOLD_LATE_MS,
  TOLD_TOGETHER_RUNS,
} from "../base/limits.ts";
import { PLATFORM, type Platform } from "../base/platform.ts";
import { forPosting } from "../base/post.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { Resumed, TokenizerFiles } from "../protocol/client.ts";
import type { SessionEvent, StageInfo } from "../protocol/events.ts";
import type { SessionOptions } from "../protocol/options.ts";
import type { SessionInfo } from "../protocol/pool.ts";
import type { FeedMessage, RunHead, StageMessage } from "../protocol/stage.ts";
import type { ValueSpec } from "../shard/types.ts";
import type { DriverPeer } from "./bridge-connection.ts";
import { aborted, busy, Generating } from "./generating.ts";
import { continuationOf, type Generation, requestOf } from "./generation.ts";
import { type Guarantees, guaranteesOf } from "./guarantees.ts";
import { nameRuns } from "./name-runs.ts";
import { type Plan, planOf } from "./plan.ts";
import { RunLog } from "./run-log.ts";
import type { GenerateOptions, ResumeGenerationOptions, RunOptions, Token } from "./run-options.ts";
import { giveOutputs, type TensorLike, takeFeeds } from "./tensors.ts";

/**
 * One model, loaded. Runs are numbered here, in the process that outlives everything else, and kept until they can no
 * longer be needed for replay; so a page's code never has to try anything again.
 */
export class Session {
  private info: SessionInfo | null = null;
  private currentStages: readonly StageInfo[] = [];
  private readonly listeners = new Set<(event: SessionEvent) => void>();
  private readonly waiting = new Map<
    number,
    { resolve(outputs: Record<string, Tensor>): void; reject(error: HoldfastError): void }
  >();
  private readonly log = new RunLog();
  /** The driver knows this session; false from the loss of a bridge until the next one has taken the session up. */
  private attached = true;
  private source: MessagePort | null = null;
  private sink: MessagePort | null = null;
  private next = 0;
  private acked = -1;
  private readonly acks: LateNumber;
  private safeRun = -1;
  private durableUpTo = -1;
  /** After this run the stages had initial state, when this page began with them. */
  private initialAt = -1;
  private wantsCheckpoint = false;
  private readonly generating: Generating;
  private readonly attachWaiters: (() => void)[] = [];
  private readonly roomWaiters: (() => void)[] = [];
  private ended: HoldfastError | null = null;

  constructor(
    private peer: DriverPeer,
    private options: SessionOptions,
    private readonly tokenizer: TokenizerFiles | null,
    onEvent: (event: SessionEvent) => void,
    private readonly forget: () => void,
    platform: Pick<Platform, "after"> = PLATFORM,
  ) {
    this.listeners.add(onEvent);
    const tell = (run: number): void => {
      if (this.ended === null) this.peer.emit("ack", { sessionId: this.id, run });
    };
    const self = this;
    this.generating = new Generating({
      get id() {
        return self.id;
      },
      peer: () => this.peer,
      isAttached: () => this.attached,
      ack: (run) => this.ack(run),
      ended: (generation, lastRun) => this.generationEnded(generation, lastRun),
    });
    this.acks = new LateNumber(tell, TOLD_TOGETHER_RUNS, TOLD_LATE_MS, platform);
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
   * Runs the model once. Feeds and outputs are tensors by name, row-major. Throws BAD_FEEDS before anything is sent;
   * otherwise the promise settles once, whatever dies meanwhile.
   */
  async run(
    feeds: Readonly<Record<string, TensorLike>>,
    { signal, reset = false }: RunOptions = {},
  ): Promise<Record<string, Tensor>> {
    const wire = takeFeeds(feeds, this.inputs);
    await this.room(signal);
    // The caller may have aborted in the meantime, and an event that has passed does not come again.
    if (signal?.aborted) throw aborted(signal);
    if (this.generating.current !== null) throw busy();
    const run = this.next++;
    this.generating.known = null;
    this.log.addRun(run, reset || run === 0, wire);
    const answer = new Promise<Record<string, Tensor>>((resolve, reject) => this.waiting.set(run, { resolve, reject }));
    const abort = (): void => this.runFailed(run, aborted(signal as AbortSignal));
    signal?.addEventListener("abort", abort, { once: true });
    const acked = this.acks.goAlong();
    this.peer.emit("run", { sessionId: this.id, run, reset: reset || run === 0, error: null, acked });
    this.feed({ run, reset: reset || run === 0, feeds: wire });
    return answer.finally(() => signal?.removeEventListener("abort", abort));
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
    const begun = { base: this.next, request, promptIds: null, known: [], ids: [], from: 0 };
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
  async makeDurable(): Promise<number> {
    for (;;) {
      if (this.ended !== null) throw this.ended;
      this.acks.tell();
      this.wantsCheckpoint = true;
      const { peer } = this;
      try {
        return await peer.call("durable", { sessionId: this.id });
      } catch (error) {
        if (!peer.isClosed) throw error;
        // The next bridge's driver is asked.
        while (this.ended === null && (this.peer === peer || !this.attached))
          await new Promise<void>((resolve) => this.attachWaiters.push(resolve));
      }
    }
  }

  /** Ends the session, closes its hosts and deletes its stored state. */
  async release(): Promise<void> {
    if (this.ended !== null) return;
    const { peer, id } = this;
    this.fail(new HoldfastError("SESSION_RELEASED", "The session was released; create a new one."));
    // With the bridge gone nobody hears it: a bridge that is taking the session up says it, else its grace ends.
    if (!this.attached) return;
    try {
      await peer.call("release", { sessionId: id });
    } catch (error) {
      if (!(error instanceof HoldfastError && error.code === "EXTENSION_DISCONNECTED")) throw error;
    }
  }

  get busy(): boolean {
    return this.ended === null && (this.waiting.size > 0 || this.generating.current !== null);
  }

  // What the pool object calls.

  private name: string | null = null;
  /** Its events come before the answer that opens it, and name it. */
  named(sessionId: string): void {
    this.name = sessionId;
  }

  opened(info: SessionInfo): void {
    this.info = info;
    this.options = info.options;
    this.currentStages = info.stages;
  }

  /** Only what is stored is left of what was before. */
  resumed({ info, run, initial, generation }: Resumed): void {
    this.opened(info);
    this.next = run + 1;
    this.acked = run;
    this.safeRun = run;
    this.durableUpTo = run;
    this.initialAt = initial ? run : -1;
    this.log.drop(run);
    this.generating.known = generation;
  }

  wire(source: MessagePort, sink: MessagePort, feedsFrom: number): void {
    this.source?.close();
    this.sink?.close();
    this.source = source;
    this.sink = sink;
    sink.onmessage = ({ data }: MessageEvent<StageMessage>) => this.answered(data);
    for (const entry of this.log.feedsFrom(feedsFrom)) this.feed(entry);
  }

  event(event: SessionEvent): void {
    if (event.type === "stage")
      this.currentStages = this.currentStages.map((stage) => (stage.stage === event.stage.stage ? event.stage : stage));
    if (event.type === "fault")
      this.currentStages = this.currentStages.map((stage) =>
        stage.stage === event.stage ? { ...stage, phase: "lost" } : stage,
      );
    for (const listener of this.listeners) listener(event);
  }

  safe(run: number): void {
    // A driver that takes the session up may find less to be safe than the one before it did.
    if (run <= this.safeRun) return;
    this.safeRun = run;
    this.log.drop(run);
    this.makeRoom();
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
    this.waiting.get(run)?.reject(error);
    this.waiting.delete(run);
    // A failed run is skipped when the runs around it are replayed; the driver says so to the stages.
    if (error.code !== "ABORTED") this.log.markFailed(run, toErrorData(error));
    this.ackAnswered();
    this.makeRoom();
  }

  fail(error: HoldfastError): void {
    if (this.ended !== null) return;
    this.ended = error;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
    this.generating.fail(error);
    this.source?.close();
    this.sink?.close();
    this.makeRoom();
    for (const wake of this.attachWaiters.splice(0)) wake();
    this.forget();
  }

  bridgeLost(): void {
    this.attached = false;
    this.event({ type: "bridge", state: "lost", ms: 0 });
  }

  /** A new bridge: names every run that may have to be replayed, and goes on. */
  async attach(peer: DriverPeer, downMs: number): Promise<void> {
    this.peer = peer;
    if (this.ended !== null || this.info === null) return;
    const { sessionId, secret } = this.info;
    try {
      const info = await peer.call("attach", {
        sessionId,
        secret,
        acked: this.acked,
        initialAt: this.initialAt,
        tokenizer: this.tokenizer,
      });
      // A release while no driver listened is made good now.
      if (this.ended !== null) return void peer.call("release", { sessionId }).catch(() => undefined);
      this.attached = true;
      this.currentStages = info.stages;
      nameRuns(peer, sessionId, this.log, this.acked);
      this.generating.attached(peer);
      peer.emit("ack", { sessionId, run: this.acked });
      peer.emit("resume", { sessionId });
      this.event({ type: "bridge", state: "restored", ms: downMs });
      for (const wake of this.attachWaiters.splice(0)) wake();
    } catch (error) {
      // The next bridge attaches again; a bridge that lives and has no pool behind it will not be replaced.
      if (!peer.isClosed) this.fail(HoldfastError.from(toErrorData(error)));
    }
  }

  private generationEnded({ base, promptIds, ids }: Generation, lastRun: number): void {
    this.next = Math.max(this.next, lastRun + 1);
    if (promptIds !== null && lastRun > this.safeRun) this.log.addGeneration(base, promptIds, ids, lastRun + 1 - base);
    this.ack(lastRun);
    this.makeRoom();
  }

  private answered(message: StageMessage): void {
    if ("error" in message) return;
    const { run } = message.head;
    this.waiting.get(run)?.resolve(giveOutputs(message.tensors));
    this.waiting.delete(run);
    this.ackAnswered();
    this.makeRoom();
  }

  /** Runs are answered in order, so all before the oldest that waits are. */
  private ackAnswered(): void {
    const oldest = this.waiting.keys().next();
    this.ack((oldest.done ? this.next : oldest.value) - 1);
  }

  private ack(run: number): void {
    if (run <= this.acked || this.ended !== null) return;
    this.acked = run;
    this.acks.grow(run);
  }

  /** Waits until a generation may begin. */
  private async free(signal: AbortSignal | undefined): Promise<void> {
    await this.room(signal);
    if (signal?.aborted) throw aborted(signal);
    if (this.generating.current !== null || this.waiting.size > 0) throw busy();
  }

  /** Holds new runs back while too much is under way. */
  private async room(signal: AbortSignal | undefined): Promise<void> {
    const wake = (): void => this.makeRoom();
    signal?.addEventListener("abort", wake, { once: true });
    // What makes room may wait for an acknowledgement that was not told yet.
    if (this.isFull()) this.acks.tell();
    while (this.ended === null && !signal?.aborted && this.isFull())
      await new Promise<void>((resolve) => this.roomWaiters.push(resolve));
    signal?.removeEventListener("abort", wake);
    if (this.ended !== null) throw this.ended;
  }

  private isFull(): boolean {
    // One that the page has stopped still uses run numbers until the driver says so.
    if (this.generating.current?.stopped) return true;
    if (this.waiting.size >= RUNS_UNANSWERED_MAX || this.log.bytes > RESEND_BYTES_MAX) return true;
    // Every run after the safe one may have to be replayed; at levels that keep no state it follows the answers.
    return this.log.replayRuns > RESEND_RUNS_MAX;
  }

  private feed({ run, reset, feeds }: { run: number; reset: boolean; feeds: WireTensors }): void {
    const { tensors, transfer } = forPosting(feeds);
    // Before the bound is reached, or no run would be left that could make what is kept durable.
    const checkpoint = this.wantsCheckpoint || this.log.bytes > RESEND_BYTES_MAX / 2;
    this.wantsCheckpoint = false;
    const head: RunHead = { run, reset, checkpoint, safe: this.safeRun, reply: "page" };
    this.source?.postMessage({ head, feeds: tensors } satisfies FeedMessage, transfer);
  }

  private makeRoom(): void {
    for (const resume of this.roomWaiters.splice(0)) resume();
  }
}
