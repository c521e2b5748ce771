import { sha256 } from "../base/digest.ts";
import { HoldfastError, messageOf, toErrorData } from "../base/errors.ts";
import { GPU_RETURN_MS, HEARTBEAT_EVERY_TICKS } from "../base/limits.ts";
import { RpcPeer, servePort } from "../base/rpc.ts";
import { isHostFailure } from "../fault/classify.ts";
import { HangDetector } from "../fault/hang-detector.ts";
import type {
  CheckpointRecord,
  FrameCalls,
  FrameEvents,
  FrameReports,
  Hold,
  HoldPhase,
  HostCapability,
  KeeperCalls,
  WeightPiece,
} from "../protocol/host.ts";
import { PROVIDERS, type Provider } from "../protocol/options.ts";
import type { HostToPool, Lease, PoolToHost } from "../protocol/pool.ts";
import type { ShardPlan, ShardSpec } from "../shard/types.ts";
import type { CheckpointKey } from "../state/checkpoint-codec.ts";
import { AgreedRecords } from "./agreed-records.ts";
import { circuitOpen, isMeasurable, noProvider, pickProvider, THREADS, wantedProviders } from "./providers.ts";
import { ResourceWatch } from "./resource-watch.ts";
import { WarmState, type WarmStores } from "./warm-state.ts";
import { type OpenBlob, streamWeights } from "./weight-stream.ts";

export interface KeeperStores extends WarmStores {
  readPlan(planId: string): Promise<{ plan: ShardPlan; files: Readonly<Record<string, string>> }>;
  readGraph(planId: string, shard: number): Promise<Uint8Array>;
  openBlob(digest: string): Promise<OpenBlob>;
  runtimeFiles(runtime: "wasm" | "webgpu"): Promise<{ wasm: ArrayBuffer; glue: string }>;
  writeCheckpoint(key: CheckpointKey, record: CheckpointRecord, beforePut: () => Promise<void>): Promise<number>;
  checkpointRuns(key: CheckpointKey): Promise<number[]>;
  checkpointChain(key: CheckpointKey, run: number): Promise<CheckpointRecord[] | null>;
  /** Deletes the stage's records of runs after this one. */
  forgetCheckpoints(key: CheckpointKey, run: number): Promise<void>;
}

export interface KeeperNeeds {
  readonly stores: KeeperStores;
  /** Puts a fresh frame in place of the old one; resolves with a port into it. */
  mountFrame(hostId: string): Promise<MessagePort>;
  unmountFrame(hostId: string): void;
  /** Makes a device or context of each provider worth asking for, and says which work. */
  probe(wanted: readonly Provider[] | null, gpuWaitMs: number): Promise<HostCapability>;
  report<E extends keyof HostToPool>(name: E, payload: HostToPool[E]): void;
  now(): number;
  /** Test build: the frame is held in this phase. */
  held(hostId: string, phase: HoldPhase): void;
  /** Test build: stops here while a checkpoint is to be held. */
  holdCheckpoint(hostId: string, run: number): Promise<void>;
}

type Frame = RpcPeer<FrameCalls, FrameEvents, KeeperCalls, FrameReports>;

/** Watches one host's frame, loads its shard and stores its checkpoints. Lives in a worker: never throttled. */
export class HostKeeper {
  private frame: Frame | null = null;
  private port: MessagePort | null = null;
  private detector: HangDetector | null = null;
  private memory = new ResourceWatch();
  private key: CheckpointKey | null = null;
  private lease: Lease;
  /** Ends of what was asked of storage, also by frames before this one: it takes one thing after the other. */
  private storing: Promise<unknown> = Promise.resolve();
  /** Of this frame, runs whose records could not be stored. */
  private unstored = new Set<number>();
  private ticks = 0;
  private provider: Provider = "wasm";
  private isReady = false;
  private weightBytes = 0;
  /** It holds its shard for whoever is to need it. */
  private standsBy = false;
  /** Of a standby. */
  private warm: WarmState | null = null;
  /** Where replicas vote: what they have stored, of which most say the same. */
  private copies: AgreedRecords | null = null;
  /** Whose stored state it starts from. */
  private source: CheckpointKey | null = null;
  /** The last told of the shard that is loading. */
  private progress: HostToPool["progress"] | null = null;

  constructor(
    private readonly needs: KeeperNeeds,
    hostId: string,
  ) {
    this.lease = { hostId, attempt: -1 };
  }

  get state(): Lease & { ready: boolean } {
    return { ...this.lease, ready: this.isReady };
  }

  /** A fresh frame with onnxruntime in it. What an earlier attempt still says is ignored from here on. */
  async boot({ hostId, attempt, providers, gpuLosses, measure, avoid }: PoolToHost["boot"]): Promise<void> {
    if (attempt <= this.lease.attempt) return;
    this.drop();
    const lease = { hostId, attempt };
    this.lease = lease;
    try {
      const wanted = wantedProviders(providers, gpuLosses);
      const capability = await this.needs.probe(wanted, gpuLosses > 0 ? GPU_RETURN_MS : 0);
      const provider = pickProvider(wanted, capability, avoid);
      if (provider === null) {
        const isOpen = pickProvider(wanted, capability) !== null;
        const error = isOpen ? circuitOpen(avoid) : noProvider(wanted ?? PROVIDERS, capability);
        return this.needs.report("bootRefused", { ...lease, error });
      }
      const runtime = provider === "wasm" ? "wasm" : "webgpu";
      const [{ wasm, glue }, port] = await Promise.all([
        this.needs.stores.runtimeFiles(runtime),
        this.needs.mountFrame(hostId),
      ]);
      if (lease !== this.lease) return port.close();
      this.port = port;
      const frame = this.serve(port);
      this.frame = frame;
      this.provider = provider;
      const probed = measure.includes(provider) && isMeasurable(provider, capability) ? provider : null;
      const { speed } = await frame.call("boot", { wasm, glue, runtime, threads: THREADS, measure: probed }, [wasm]);
      if (lease === this.lease) this.needs.report("booted", { ...lease, provider, capability, speed });
    } catch (error) {
      if (lease === this.lease) this.fault(`the runtime did not start: ${messageOf(error)}`);
    }
  }

  async load(order: PoolToHost["load"]): Promise<void> {
    const { attempt, bootedAs, sessionId, stage, planId, durable, standby, replicas = 1 } = order;
    const votes = replicas > 1;
    if (bootedAs !== this.lease.attempt) return;
    const lease = { ...this.lease, attempt };
    this.lease = lease;
    const { frame, provider } = this;
    // A spare whose frame died before it heard that it was taken.
    if (frame === null) return this.needs.report("fault", { ...lease, signal: "frame process gone" });
    const start = this.needs.now();
    if (this.isReady && this.key !== null && isFor(order, this.key)) return this.takeOver(frame, lease, this.key);
    this.key = null;
    try {
      const stores = this.needs.stores;
      const { plan, files } = await stores.readPlan(planId);
      const shard = stage % plan.shards.length;
      const spec = plan.shards[shard];
      if (spec === undefined) throw new HoldfastError("INTERNAL", `plan ${planId} has no shard ${stage}`);
      const key = { sessionId, stage, planId, weights: await weightsDigest(spec, files) };
      if (lease !== this.lease) return;
      this.key = key;
      // A checker starts from what the host that it checks has stored.
      this.source = replicas === 2 ? { ...key, stage: shard } : key;
      this.copies =
        replicas > 2 ? new AgreedRecords(stores, spec, key, { stages: plan.shards.length, replicas }) : null;
      const [graph, stored] = await Promise.all([stores.readGraph(planId, shard), stores.checkpointRuns(key)]);
      const last = shard === plan.shards.length - 1;
      const stateful = plan.shards.some(({ state }) => state.length > 0);
      const stopsAtFailure = stateful && plan.shards.length > 1;
      const weights = {
        open: (file: string) => stores.openBlob(files[file] ?? ""),
        send: (piece: WeightPiece) => frame.call("weight", piece, [piece.bytes.buffer]),
        onBytes: (loadedBytes: number, totalBytes: number) => {
          this.progress = { ...lease, sessionId, phase: "weights", loadedBytes, totalBytes, bytesPerSecond: null };
          this.needs.report("progress", this.progress);
        },
      };
      for (const keepsAll of [false, true]) {
        await frame.call("load", { graph, spec, last, provider, durable, stateful, stopsAtFailure, stored, votes });
        await streamWeights(spec.weights, keepsAll, weights);
        if (!(await frame.call("create", null)).askedAgain) break;
      }
      if (lease !== this.lease || frame !== this.frame) return;
      this.detector = new HangDetector();
      this.memory = new ResourceWatch();
      this.isReady = true;
      this.weightBytes = spec.weightBytes;
      this.standsBy = standby;
      // Of replicas one alone may have stored a lie.
      if (standby && this.copies === null)
        this.warm = new WarmState(stores, key, {
          warm: (record) => frame.emit("warm", { record }),
          cool: (runs) => frame.emit("cool", { runs }),
          practise: (sample) => frame.emit("practise", sample),
        });
      this.needs.report("ready", { ...lease, provider, weightBytes: spec.weightBytes, ms: this.needs.now() - start });
    } catch (error) {
      // Its end was reported when the frame was dropped, and says nothing of the model.
      if (lease !== this.lease || frame !== this.frame) return;
      if (isHostFailure(messageOf(error))) this.fault(messageOf(error));
      else this.needs.report("loadFailed", { ...lease, error: toErrorData(error) });
    }
  }

  /** A standby has the shard and what is stored: only whose work it is changes. A host that is reconnected goes on as it is. */
  private async takeOver(frame: Frame, lease: Lease, key: CheckpointKey): Promise<void> {
    const { provider, weightBytes, standsBy } = this;
    const start = this.needs.now();
    this.standsBy = false;
    try {
      await frame.call("takeOver", { stored: standsBy ? await this.needs.stores.checkpointRuns(key) : null });
      if (frame === this.frame)
        this.needs.report("ready", { ...lease, provider, weightBytes, ms: this.needs.now() - start });
    } catch (error) {
      if (frame === this.frame) this.fault(`the host did not take over: ${messageOf(error)}`);
    }
  }

  /** One tick of the watch. */
  tick(now: number): void {
    if (this.detector === null) return;
    const wrong = this.detector.tick(now);
    if (wrong !== null) this.fault(wrong);
    else if (this.ticks++ % HEARTBEAT_EVERY_TICKS === 0) this.frame?.emit("ping", { beat: this.ticks });
  }

  /** Says that page and keeper live. Whether the host is well, the watch says. */
  ask({ attempt }: Lease): void {
    const { lease, detector } = this;
    if (attempt === lease.attempt && detector !== null)
      this.needs.report("alive", { ...lease, idleMs: detector.idleMs });
  }

  /** A run whose outputs are known. Nothing is said of a host that is well, for that would keep the service worker awake. */
  async probe({ attempt }: Lease): Promise<void> {
    const { frame, lease, detector } = this;
    if (attempt !== lease.attempt || frame === null || detector === null) return;
    try {
      const { verdict } = await frame.call("probe", null);
      if (verdict === "differs" && frame === this.frame) this.fault("a probe run did not give what it gave before");
    } catch (error) {
      if (frame === this.frame) this.fault(messageOf(error));
    }
  }

  /** The canary in the frame is gone: its process has died. */
  frameGone(): void {
    if (this.frame !== null) this.fault("frame process gone");
  }

  setHold(hold: Hold | null): void {
    this.frame?.emit("hold", hold);
  }

  close(): void {
    this.drop();
    this.lease = { ...this.lease, attempt: Number.POSITIVE_INFINITY };
  }

  private fault(signal: string): void {
    const lease = this.lease;
    this.drop();
    this.needs.report("fault", { ...lease, signal });
  }

  private coolDown(): void {
    this.warm?.stop();
    this.warm = null;
  }

  private drop(): void {
    const held = this.frame !== null;
    this.frame?.close(new HoldfastError("HOST_LOST", "the host was replaced"));
    this.port?.close();
    this.frame = null;
    this.port = null;
    this.detector = null;
    this.isReady = false;
    this.coolDown();
    this.unstored = new Set();
    if (held) this.needs.unmountFrame(this.lease.hostId);
  }

  private serve(port: MessagePort): Frame {
    const frame: Frame = new RpcPeer<FrameCalls, FrameEvents, KeeperCalls, FrameReports>(
      (message, transfer = []) => port.postMessage(message, transfer),
      {
        records: ({ run }) => this.inOrder(() => this.records(run)),
        forgetAfter: ({ run }) =>
          this.inOrder(async () => {
            if (this.key !== null && frame === this.frame) await this.forget(this.key, run);
            return null;
          }),
      },
      {
        pong: ({ resources }) => {
          this.detectorOf(frame)?.sign();
          const told = frame === this.frame ? this.memory.read(resources, this.needs.now()) : null;
          if (told !== null) this.needs.report("resources", { ...this.lease, resources: told });
        },
        weightsTaken: () => {
          if (frame === this.frame && this.progress !== null) this.needs.report("progress", this.progress);
        },
        runStarted: ({ run, shape }) => this.detectorOf(frame)?.runStarted(run, shape),
        runEnded: () => this.detectorOf(frame)?.runEnded(),
        stageTimes: (times) => {
          if (frame === this.frame) this.needs.report("stageTimes", { ...this.lease, times });
        },
        checkpoint: (record) => {
          // One after the other: of two records of one run the later one is to stay, and a stored delta is worth nothing
          // without the one it continues.
          if (frame === this.frame) void this.inOrder(() => this.store(frame, record));
        },
        fault: ({ signal }) => {
          if (frame === this.frame) this.fault(signal);
        },
        held: ({ phase }) => this.needs.held(this.lease.hostId, phase),
      },
    );
    servePort(port, frame);
    return frame;
  }

  private async records(run: number): Promise<KeeperCalls["records"]["result"]> {
    const isWarm = (await this.warm?.leadsTo(run).catch(() => false)) ?? false;
    // From here on the stage makes its state itself.
    this.coolDown();
    if (isWarm) return "warm";
    const { source, copies } = this;
    const stores = this.needs.stores;
    const chain = copies !== null ? await copies.read(run) : source && (await stores.checkpointChain(source, run));
    if (chain === null)
      throw new HoldfastError("STATE_LOST", `The stored state after run ${run} is missing or damaged.`);
    return chain;
  }

  /** A frame of an earlier attempt tells nothing about the present one. */
  private detectorOf(frame: Frame): HangDetector | null {
    return frame === this.frame ? this.detector : null;
  }

  private inOrder<T>(step: () => Promise<T>): Promise<T> {
    const done = this.storing.then(step);
    this.storing = done.catch(() => undefined);
    return done;
  }

  private async forget(key: CheckpointKey, run: number): Promise<void> {
    try {
      await this.needs.stores.forgetCheckpoints(key, run);
    } catch (error) {
      throw HoldfastError.from(toErrorData(error, "QUOTA_EXCEEDED"));
    }
  }

  private async store(frame: Frame, record: CheckpointRecord): Promise<void> {
    const { key } = this;
    if (key === null || frame !== this.frame) return;
    const { run, previous } = record;
    try {
      // It was made before the frame could know.
      if (previous !== null && this.unstored.has(previous))
        throw new Error(`what it continues, run ${previous}, is not stored`);
      await this.needs.stores.writeCheckpoint(key, record, () => this.needs.holdCheckpoint(this.lease.hostId, run));
      this.unstored.delete(run);
      frame.emit("stored", { run, error: null });
    } catch (error) {
      this.unstored.add(run);
      frame.emit("stored", { run, error: toErrorData(error, "QUOTA_EXCEEDED") });
    }
  }
}

function isFor(order: PoolToHost["load"], key: CheckpointKey): boolean {
  return order.sessionId === key.sessionId && order.stage === key.stage && order.planId === key.planId;
}

/** Of which bytes of which files a shard's weights are. */
function weightsDigest({ weights }: ShardSpec, files: Readonly<Record<string, string>>): Promise<string> {
  const pieces = weights.map(({ path, file, offset, length }) => [path, files[file] ?? "", offset, length]);
  return sha256(new TextEncoder().encode(JSON.stringify(pieces)));
}
