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
import type { TokenizerFiles } from "../protocol/client.ts";
import type { SessionEvent, StageInfo } from "../protocol/events.ts";
import type { SessionOptions } from "../protocol/options.ts";
import type { SessionInfo } from "../protocol/pool.ts";
import type { FeedMessage, RunHead, StageMessage } from "../protocol/stage.ts";
import type { ValueSpec } from "../shard/types.ts";
import type { DriverPeer } from "./bridge-connection.ts";
import { type Generation, requestOf, TokenQueue } from "./generation.ts";
import { type Guarantees, guaranteesOf } from "./guarantees.ts";
import { type Plan, planOf } from "./plan.ts";
import { RunLog } from "./run-log.ts";
import { giveOutputs, type TensorLike, takeFeeds } from "./tensors.ts";

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Start from initial state instead of the state after the run before. */
  readonly reset?: boolean;
}

export interface GenerateOptions {
  readonly maxNewTokens?: number;
  /** 0 (the default): greedy. */
  readonly temperature?: number;
  readonly topK?: number;
  /** The same seed gives the same tokens. */
  readonly seed?: number;
  /** Ids that end the generation; they are emitted. */
  readonly stopIds?: readonly number[];
  readonly signal?: AbortSignal;
}

export interface Token {
  readonly index: number;
  readonly id: number;
  /**
   * What this token adds to the text; empty until a character is complete, and a generation that ends within one ends with
   * U+FFFD. All of them joined are the decoding of the ids.
   */
  readonly text: string;
}

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
  private nextRun = 0;
  private acked = -1;
  private readonly acks: LateNumber;
  private safeRun = -1;
  private generation: Generation | null = null;
  private readonly roomWaiters: (() => void)[] = [];
  private ended: HoldfastError | null = null;

  constructor(
    private peer: DriverPeer,
    private readonly options: SessionOptions,
    private readonly tokenizer: TokenizerFiles | null,
    onEvent: (event: SessionEvent) => void,
    private readonly forget: () => void,
    platform: Pick<Platform, "after"> = PLATFORM,
  ) {
    this.listeners.add(onEvent);
    const tell = (run: number): void => {
      if (this.ended === null) this.peer.emit("ack", { sessionId: this.id, run });
    };
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
    if (this.generation !== null) throw busy();
    const run = this.nextRun++;
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
    await this.room(options.signal);
    if (options.signal?.aborted) throw aborted(options.signal);
    if (this.generation !== null || this.waiting.size > 0) throw busy();
    const queue = new TokenQueue();
    const generation: Generation = { base: this.nextRun, request, promptIds: null, ids: [], queue, stopped: false };
    this.generation = generation;
    // Nobody waits for the run that is under way: it may take as long as a recovery does.
    const stop = (): void => {
      if (this.generation !== generation) return;
      generation.stopped = true;
      this.peer.emit("stopGeneration", { sessionId: this.id });
    };
    const abort = (): void => {
      stop();
      queue.fail(aborted(options.signal as AbortSignal));
    };
    options.signal?.addEventListener("abort", abort, { once: true });
    if (this.attached) this.askGeneration(generation);
    try {
      for await (const token of queue) {
        if (options.signal?.aborted) throw aborted(options.signal);
        yield token;
      }
    } finally {
      options.signal?.removeEventListener("abort", abort);
      stop();
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
    return this.ended === null && (this.waiting.size > 0 || this.generation !== null);
  }

  // What the pool object calls.

  private name: string | null = null;
  /** Its events come before the answer that opens it, and name it. */
  named(sessionId: string): void {
    this.name = sessionId;
  }

  opened(info: SessionInfo): void {
    this.info = info;
    this.currentStages = info.stages;
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

  prompt(base: number, promptIds: readonly number[]): void {
    if (this.generation?.base === base) this.generation.promptIds = promptIds;
  }

  token(base: number, token: Token): void {
    const generation = this.generation;
    // A token that came before, from a driver that has died, comes again and is dropped.
    if (generation?.base !== base || token.index !== generation.ids.length) return;
    generation.ids.push(token.id);
    generation.queue.push(token);
    this.ack(base + token.index);
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
    this.generation?.queue.fail(error);
    this.generation = null;
    this.source?.close();
    this.sink?.close();
    this.makeRoom();
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
      const info = await peer.call("attach", { sessionId, secret, acked: this.acked, tokenizer: this.tokenizer });
      // A release while no driver listened is made good now.
      if (this.ended !== null) return void peer.call("release", { sessionId }).catch(() => undefined);
      this.attached = true;
      this.currentStages = info.stages;
      for (const entry of this.log.entries()) {
        if (entry.kind === "run")
          peer.emit("run", { sessionId, run: entry.run, reset: entry.reset, error: entry.error, acked: this.acked });
        else {
          const { base, promptIds, ids } = entry;
          peer.emit("history", { sessionId, base, promptIds, ids, runs: entry.last - base + 1 });
        }
      }
      if (this.generation !== null) this.askGeneration(this.generation);
      if (this.generation?.stopped) peer.emit("stopGeneration", { sessionId });
      peer.emit("ack", { sessionId, run: this.acked });
      peer.emit("resume", { sessionId });
      this.event({ type: "bridge", state: "restored", ms: downMs });
    } catch (error) {
      // The next bridge attaches again; a bridge that lives and has no pool behind it will not be replaced.
      if (!peer.isClosed) this.fail(HoldfastError.from(toErrorData(error)));
    }
  }

  private askGeneration(generation: Generation): void {
    const { base, request, ids } = generation;
    const { peer } = this;
    peer.call("generate", { sessionId: this.id, base, request, ids: [...ids] }).then(
      ({ runs, error }) => this.generationEnded(generation, runs, error === null ? null : HoldfastError.from(error)),
      (error: HoldfastError) => {
        if (!peer.isClosed) this.generationEnded(generation, ids.length, error);
      },
    );
  }

  private generationEnded(generation: Generation, runs: number, error: HoldfastError | null): void {
    if (this.generation !== generation) return;
    this.generation = null;
    const { base, promptIds, ids, queue } = generation;
    this.nextRun = base + runs;
    if (promptIds !== null) this.log.addGeneration(base, promptIds, ids, runs);
    this.ack(this.nextRun - 1);
    if (error === null) queue.end();
    else queue.fail(error);
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
    this.ack((oldest.done ? this.nextRun : oldest.value) - 1);
  }

  private ack(run: number): void {
    if (run <= this.acked || this.ended !== null) return;
    this.acked = run;
    this.acks.grow(run);
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
    if (this.generation?.stopped) return true;
    if (this.waiting.size >= RUNS_UNANSWERED_MAX || this.log.bytes > RESEND_BYTES_MAX) return true;
    // Every run after the safe one may have to be replayed; at levels that keep no state it follows the answers.
    return this.log.replayRuns > RESEND_RUNS_MAX;
  }

  private feed({ run, reset, feeds }: { run: number; reset: boolean; feeds: WireTensors }): void {
    const { tensors, transfer } = forPosting(feeds);
    // Before the bound is reached, or no run would be left that could make what is kept durable.
    const checkpoint = this.log.bytes > RESEND_BYTES_MAX / 2;
    const head: RunHead = { run, reset, checkpoint, safe: this.safeRun, reply: "page" };
    this.source?.postMessage({ head, feeds: tensors } satisfies FeedMessage, transfer);
  }

  private makeRoom(): void {
    for (const resume of this.roomWaiters.splice(0)) resume();
  }
}

function busy(): HoldfastError {
  return new HoldfastError("SESSION_BUSY", "The session has work under way; wait for its end or open another session.");
}

function aborted(signal: AbortSignal): HoldfastError {
  return new HoldfastError("ABORTED", "The run was aborted by the signal that it was given.", { cause: signal.reason });
}
