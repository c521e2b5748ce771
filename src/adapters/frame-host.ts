import { HoldfastError, messageOf } from "../base/errors.ts";
import { PRACTICE_MS, PRACTICE_RUNS, TAKEN_EVERY_MS, YIELD_EVERY_MS } from "../base/limits.ts";
import { PLATFORM, type Platform } from "../base/platform.ts";
import { forPosting } from "../base/post.ts";
import { RpcPeer, servePort } from "../base/rpc.ts";
import type { WireTensors } from "../base/tensor.ts";
import { callerError, isHostFailure } from "../fault/classify.ts";
import { freeAll, hasDeviceData, recordOnHost } from "../host/device-data.ts";
import { HoldPoint } from "../host/hold-point.ts";
import { ProbeRun } from "../host/probe-run.ts";
import { Residents } from "../host/residents.ts";
import { answerDigest } from "../host/rows-digest.ts";
import { RunReports } from "../host/run-reports.ts";
import { ShardWeights } from "../host/shard-weights.ts";
import { Stage } from "../host/stage.ts";
import { StageTimer } from "../host/stage-timer.ts";
import type {
  CheckpointRecord,
  FrameBoot,
  FrameCalls,
  FrameEvents,
  FrameReports,
  KeeperCalls,
  RunSample,
  ShardLoad,
} from "../protocol/host.ts";
import type { FeedMessage, StageCalls, StageEvents, StageMessage, StageReports } from "../protocol/stage.ts";
import { chainTo } from "../state/checkpoint-codec.ts";
import { OrtRuntime } from "./ort-runtime.ts";

/** What a shard computes with. */
export type Runtime = Pick<OrtRuntime, "measure" | "create" | "run" | "watchDevice">;

export interface FrameNeeds extends Pick<Platform, "now" | "channel"> {
  bootRuntime(boot: FrameBoot): Promise<Runtime>;
}
const FRAME: FrameNeeds = { ...PLATFORM, bootRuntime: (boot) => OrtRuntime.boot(boot) };

/** Ports of one wiring: the driver's, and the neighbours' (for the first and last stage the page's). */
interface Wiring {
  readonly driver: RpcPeer<Record<never, never>, StageReports, StageCalls, StageEvents>;
  readonly output: MessagePort;
  readonly ports: readonly MessagePort[];
}

/** The number of a run that is none of the session's. */
const PROBE = -1;

type Keeper = RpcPeer<KeeperCalls, FrameReports, FrameCalls, FrameEvents>;

/** Wires a Stage to onnxruntime, to the keeper and to the ports of its neighbours. */
export class FrameHost {
  private keeper: Keeper | null = null;
  private runtime: Runtime | null = null;
  private load: ShardLoad | null = null;
  private weights = new ShardWeights();
  private stage: Stage | null = null;
  /** It was a standby and carries its stage now. */
  private isTaken = false;
  /** A standby's copy of what is stored for its stage. */
  private readonly warm = new Map<number, CheckpointRecord>();
  private timer: StageTimer | null = null;
  private probing: ProbeRun | null = null;
  /** Real runs that the runtime is at. */
  private computing = 0;
  /** Ends when the runtime is free: it does one thing at a time. */
  private practising: Promise<void> = Promise.resolve();
  /** Checkpoints that are being read from the device; null: none. */
  private reading: Promise<void> | null = null;
  private wiring: Wiring | null = null;
  private readonly hold: HoldPoint;
  private readonly breath: Breath;

  constructor(
    faultHooks: boolean,
    private readonly needs: FrameNeeds = FRAME,
  ) {
    this.breath = new Breath(needs);
    this.hold = new HoldPoint(faultHooks, (phase) => this.keeper?.emit("held", { phase }));
  }

  /** From the host page: `keeper` once, `wire` each time the session's channels are made anew. */
  receive(message: unknown, ports: readonly MessagePort[]): void {
    const kind = (message as { frame?: string } | null)?.frame;
    if (kind === "keeper" && ports[0] !== undefined) this.serveKeeper(ports[0]);
    if (kind === "wire") this.wire(ports);
  }

  private serveKeeper(port: MessagePort): void {
    const keeper = new RpcPeer<KeeperCalls, FrameReports, FrameCalls, FrameEvents>(
      (message, transfer = []) => port.postMessage(message, transfer),
      {
        boot: async (boot) => {
          this.runtime = await this.needs.bootRuntime(boot);
          return { speed: boot.measure === null ? null : await this.runtime.measure(boot.measure) };
        },
        load: (load) => {
          this.load = load;
          this.weights.free();
          this.weights = new ShardWeights(this.sayTaken());
          return null;
        },
        weight: (piece) => {
          this.weights.put(piece);
          return null;
        },
        create: () => this.create(),
        probe: () => this.probe(),
        takeOver: ({ stored }) => {
          this.isTaken = true;
          if (stored !== null) this.stage?.storedAre(stored);
          return null;
        },
      },
      {
        ping: ({ beat }) => {
          const resources = { tensorBytes: this.stage?.liveBytes ?? 0, heapBytes: heapBytes() };
          keeper.emit("pong", { beat, resources });
          const times = this.timer?.due(this.needs.now()) ?? null;
          if (times !== null) keeper.emit("stageTimes", times);
        },
        stored: ({ run, error }) => {
          if (error !== null) {
            if (this.stage?.storeFailed(run)) this.wiring?.driver.emit("storeFailed", { run, error });
          } else if (this.stage?.stored(run)) this.wiring?.driver.emit("stored", { run });
        },
        warm: ({ record }) => this.warm.set(record.run, record),
        cool: ({ runs }) => {
          for (const run of runs) this.warm.delete(run);
        },
        practise: (sample) => this.practise(sample),
        hold: (hold) => this.hold.set(hold),
      },
    );
    this.keeper = keeper;
    servePort(port, keeper);
  }

  /** A standby's first runs, of which nothing stays but what the browser and the runtime have made ready. */
  private practise({ after, inputs }: RunSample): void {
    const { runtime, load, keeper, needs } = this;
    const chain = chainTo(this.warm, after);
    if (runtime === null || load === null || chain === null) return;
    const residents = new Residents(load.spec.state, load.spec.shapes);
    residents.restore(chain);
    const feeds = { ...inputs, ...residents.inputs() };
    const run = async (): Promise<void> => {
      const until = needs.now() + PRACTICE_MS;
      for (let times = 0; times < PRACTICE_RUNS && needs.now() < until && !this.isTaken; times++) {
        freeAll(await runtime.run(feeds));
        await this.breath.now();
      }
    };
    this.practising = run().catch((error: unknown) => {
      const signal = messageOf(error);
      if (isHostFailure(signal)) keeper?.emit("fault", { signal });
    });
  }

  /** A run whose outputs are known, beside which no other is: whatever comes waits for it. */
  private async probe(): Promise<FrameCalls["probe"]["result"]> {
    const { probing, runtime, keeper } = this;
    await this.practising;
    if (probing === null || runtime === null || keeper === null || this.computing > 0) return { verdict: "unknown" };
    // One that hangs is found as any other run.
    keeper.emit("runStarted", { run: PROBE, shape: "probe" });
    const probed = probing.probe((inputs) => runtime.run(inputs));
    this.practising = probed.then(
      () => undefined,
      () => undefined,
    );
    try {
      return { verdict: await probed };
    } finally {
      keeper.emit("runEnded", { run: PROBE });
    }
  }

  /** In their order, although what lies on a device takes a while to come. */
  private checkpoint(keeper: Keeper, record: CheckpointRecord): void {
    if (this.reading === null && !hasDeviceData(record)) {
      keeper.emit("checkpoint", record);
      return;
    }
    const before = this.reading ?? Promise.resolve();
    const reading = Promise.all([recordOnHost(record), before]).then(
      ([read]) => {
        keeper.emit("checkpoint", read);
      },
      // The device is lost, and this host with it.
      () => undefined,
    );
    this.reading = reading;
    void reading.then(() => {
      if (this.reading === reading) this.reading = null;
    });
  }

  private sayTaken(): () => void {
    let saidAt = this.needs.now();
    return () => {
      const now = this.needs.now();
      if (now - saidAt < TAKEN_EVERY_MS) return;
      saidAt = now;
      this.keeper?.emit("weightsTaken", null);
    };
  }

  private async create(): Promise<FrameCalls["create"]["result"]> {
    const { runtime, load, keeper, weights, needs } = this;
    if (runtime === null || load === null || keeper === null) throw new HoldfastError("INTERNAL", "create before load");
    try {
      await runtime.create({ graph: load.graph, weights: weights.files() }, load.provider, residentsOf(load));
    } catch (error) {
      if (weights.askedAgain) return { askedAgain: true };
      const signal = messageOf(error);
      throw isHostFailure(signal) ? error : HoldfastError.from(callerError(signal, "BAD_MODEL"));
    } finally {
      weights.free();
    }
    if (load.provider === "webgpu") void runtime.watchDevice((signal) => keeper.emit("fault", { signal }));
    const reports = new RunReports(
      {
        started: (run, shape) => keeper.emit("runStarted", { run, shape }),
        ended: (run) => keeper.emit("runEnded", { run }),
        now: () => needs.now(),
      },
      load.provider === "wasm",
    );
    const timer = new StageTimer(needs.now());
    this.timer = timer;
    const probing = new ProbeRun(load.provider === "wasm");
    this.probing = probing;
    this.stage = new Stage(
      {
        execute: async (inputs) => {
          this.computing++;
          try {
            await this.practising;
            const startedAt = needs.now();
            const outputs = await runtime.run(inputs);
            const now = needs.now();
            timer.ran(now - startedAt, now);
            probing.ran(inputs, outputs);
            return outputs;
          } catch (error) {
            throw isHostFailure(messageOf(error))
              ? error
              : HoldfastError.from(callerError(messageOf(error), "RUN_FAILED"));
          } finally {
            this.computing--;
          }
        },
        send: (answer) => this.send(answer),
        checkpoint: (record) => this.checkpoint(keeper, record),
        records: async (run) => {
          const records = await keeper.call("records", { run });
          const chain = records === "warm" ? chainTo(this.warm, run) : records;
          if (chain === null) throw new HoldfastError("INTERNAL", `The standby has no state after run ${run}.`);
          this.warm.clear();
          return chain;
        },
        forgetAfter: async (run) => void (await keeper.call("forgetAfter", { run })),
        fatal: (error) => {
          const lost = !(error instanceof HoldfastError);
          if (lost) keeper.emit("fault", { signal: messageOf(error) });
          return lost;
        },
        runStarted: (run, inputs) => reports.started(run, shapeOf(inputs)),
        runEnded: (run) => reports.ended(run),
        ...(isComparable(load) ? { ran: (run, tensors) => this.ran(run, tensors) } : {}),
        hold: async (phase, run) => {
          if (phase === "dispatch") await this.breath.take();
          await this.hold.reach(phase, run);
        },
      },
      load.spec,
      load,
    );
    return { askedAgain: false };
  }

  /** New channels: driver, input, output, in this order. The old ones are closed; what was in them is sent again. */
  private wire(ports: readonly MessagePort[]): void {
    const [driverPort, input, output] = ports;
    const stage = this.stage;
    if (driverPort === undefined || input === undefined || output === undefined || stage === null) return;
    for (const port of this.wiring?.ports ?? []) port.close();
    const driver = new RpcPeer<Record<never, never>, StageReports, StageCalls, StageEvents>(
      (message) => driverPort.postMessage(message),
      {
        sync: () => stage.sync(),
        store: ({ run, toMove }) => stage.store(run, toMove),
        restore: ({ run, from, answered, durable }) => stage.restore(run, from, answered, durable),
      },
      {
        feed: (message) => stage.receive(message),
        resend: ({ from }) => stage.resend(from),
        pace: (pace) => stage.pace(pace),
        hold: () => stage.hold(),
      },
    );
    this.wiring = { driver, output, ports: [driverPort, input, output] };
    stage.rewired();
    servePort(driverPort, driver);
    driver.emit("wired", null);
    input.onmessage = (event: MessageEvent<StageMessage | FeedMessage>) => {
      const message = event.data;
      // At the first stage this is the page's own port.
      if (typeof message?.head?.run !== "number") return;
      stage.receive("feeds" in message ? { head: message.head, tensors: message.feeds } : message);
    };
    input.start();
  }

  private ran(run: number, tensors: WireTensors): void {
    const digest = answerDigest(tensors);
    if (digest !== null) this.wiring?.driver.emit("ran", { run, digest });
  }

  private send(message: StageMessage): void {
    const last = this.load?.last === true;
    // Errors go to the driver as well as outputs of its own runs: it decides what the page hears.
    if (last && ("error" in message || message.head.reply === "driver")) this.wiring?.driver.emit("output", message);
    else if ("error" in message) this.wiring?.output.postMessage(message);
    else {
      const { tensors, transfer } = forPosting(message.tensors);
      this.wiring?.output.postMessage({ ...message, tensors } satisfies StageMessage, transfer);
    }
  }
}

/** Its runs give the same bits each time, there is a state to be brought back, and nobody votes on it. */
function isComparable({ provider, durable, votes }: ShardLoad): boolean {
  return provider === "wasm" && durable && votes !== true;
}

/** State that only this stage reads: where it can, it stays on the device. */
function residentsOf({ spec }: ShardLoad): string[] {
  const others = new Set(spec.emits);
  return spec.state.map(({ output }) => output).filter((name) => !others.has(name));
}

/** Runs that wait are worked off without a turn of the event loop in between; now and then it gets one. */
class Breath {
  private readonly channel: MessageChannel;
  private last: number;

  constructor(private readonly needs: Pick<FrameNeeds, "now" | "channel">) {
    this.channel = needs.channel();
    this.last = needs.now();
  }

  async take(): Promise<void> {
    if (this.needs.now() - this.last >= YIELD_EVERY_MS) await this.now();
  }

  async now(): Promise<void> {
    // Not a timer: a hidden page's are slowed down.
    await new Promise<void>((resolve) => {
      this.channel.port1.onmessage = () => resolve();
      this.channel.port2.postMessage(null);
    });
    this.last = this.needs.now();
  }
}

function shapeOf(inputs: WireTensors): string {
  return Object.values(inputs)
    .map((tensor) => tensor.dims.join("x"))
    .join(",");
}

/** Chromium says; others do not. */
function heapBytes(): number | null {
  const { memory } = performance as Performance & { readonly memory?: { readonly usedJSHeapSize: number } };
  return memory?.usedJSHeapSize ?? null;
}
