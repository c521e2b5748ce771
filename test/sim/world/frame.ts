import { FrameHost, type Runtime } from "../../../src/adapters/frame-host.ts";
import { HoldfastError } from "../../../src/base/errors.ts";
import type { WireTensor, WireTensors } from "../../../src/base/tensor.ts";
import type { FrameBoot } from "../../../src/protocol/host.ts";
import type { Provider } from "../../../src/protocol/options.ts";
import type { ShardSpec } from "../../../src/shard/types.ts";
import { execute, specsOf } from "../../unit/driver/world/model.ts";
import type { Assignment, Browser } from "./browser.ts";
import { Context } from "./context.ts";
import type { HostPage } from "./host-page.ts";
import { Lane } from "./lane.ts";

/** A host's sandbox frame, a process of its own: the real FrameHost around a stand-in for onnxruntime. */
export class Frame {
  readonly context: Context;
  isUp = false;
  readonly runtime: SimRuntime;
  readonly host: FrameHost;
  private readonly lane: Lane;

  constructor(
    private readonly browser: Browser,
    page: HostPage,
    up: (port: MessagePort) => void,
  ) {
    const { loop, random, channels } = browser;
    this.context = new Context(loop, `frame of ${page.hostId}`);
    this.lane = new Lane(loop, () => browser.messageMs());
    this.runtime = new SimRuntime(browser, this.context, () => page.assignment);
    this.host = new FrameHost(false, {
      now: () => loop.now,
      channel: () => channels.of(this.context),
      bootRuntime: (boot) => this.runtime.boot(boot),
    });
    this.context.after(64 + random.next() * 120, () => {
      // The page hears of it on its own thread.
      page.context.run(() => {
        if (page.frame !== this) return;
        this.isUp = true;
        const { port1, port2 } = channels.of(page.context);
        this.receive("keeper", [port1]);
        up(port2);
      });
    });
  }

  /** New channels, from the host's page. */
  wire(ports: readonly MessagePort[]): void {
    this.receive("wire", ports);
  }

  private receive(kind: "keeper" | "wire", ports: readonly MessagePort[]): void {
    const { channels } = this.browser;
    channels.leave(ports);
    this.lane.send(() =>
      this.context.run(() => {
        channels.arrive(ports, this.context);
        this.host.receive({ frame: kind }, ports);
      }),
    );
  }

  /** Whoever throws it away has no reason to. */
  get isHealthy(): boolean {
    return this.isUp && this.context.alive && !this.context.isHung && !this.runtime.isPoisoned;
  }
}

/** Computes what the model says, in the time that a host takes for it, and fails as hosts fail. */
export class SimRuntime implements Runtime {
  spec: ShardSpec | null = null;
  /** How much slower than others this host is. */
  slowness = 1;
  /** Its next computation, or the next shard, does not fit into memory. */
  memoryIsShort = false;
  private last = false;
  private provider: Provider = "wasm";
  isPoisoned = false;
  /** Its next run lies: in what it answers, or only in what it keeps. Null: not, or not any more. */
  nextLie: { readonly about: "output" | "rows"; readonly by: number } | null = null;
  /** It has answered what no other host would. */
  hasErred = false;
  private lostDevice: ((reason: string) => void) | null = null;

  constructor(
    private readonly browser: Browser,
    private readonly context: Context,
    private readonly assignment: () => Assignment | null,
  ) {}

  async boot(_: FrameBoot): Promise<Runtime> {
    const { browser, context } = this;
    if (browser.bootsFail) context.busy(Number.POSITIVE_INFINITY);
    await context.wait(120 + browser.random.next() * 200, () => undefined);
    return this;
  }

  async measure(): Promise<null> {
    return null;
  }

  async create({ graph }: Parameters<Runtime["create"]>[0], provider: Provider): Promise<void> {
    const [shards = 0, shard = 0, stateful] = graph;
    await this.context.wait(40 + this.browser.random.next() * 60, () => undefined);
    this.runOut();
    this.provider = provider;
    this.last = shard === shards - 1;
    this.spec = specsOf(shards, stateful === 1)[shard] ?? null;
  }

  async run(inputs: WireTensors): Promise<WireTensors> {
    const { browser, context, spec } = this;
    if (spec === null) throw new HoldfastError("INTERNAL", "the shard was run before it was made");
    if (this.isPoisoned) {
      // A lost device poisons the instance: the first run fails, the next blocks the thread for ever.
      context.busy(Number.POSITIVE_INFINITY);
      return new Promise(() => undefined);
    }
    const ms = (0.5 + browser.random.next() * 4) * this.slowness;
    // A wasm run blocks the thread; on a GPU messages go on.
    if (this.provider === "wasm") context.busy(ms);
    await context.wait(ms, () => undefined);
    if (this.isPoisoned) throw new Error("The Device was lost before mapping was resolved");
    if (this.memoryIsShort) this.hasErred = true;
    this.runOut();
    const outputs = execute(spec, this.last, inputs);
    return browser.isReplaced(this.assignment()) ? spoilt(outputs) : this.lie(spec, outputs);
  }

  /** A wrong number, of which the host itself knows nothing. */
  private lie(spec: ShardSpec, outputs: WireTensors): WireTensors {
    const { nextLie } = this;
    if (nextLie === null) return outputs;
    const about = spec.state.length === 0 ? "output" : nextLie.about;
    this.nextLie = null;
    this.hasErred = true;
    const states = new Set(spec.state.map(({ output }) => output));
    const name = Object.keys(outputs).find((output) => states.has(output) === (about === "rows"));
    return name === undefined
      ? outputs
      : { ...outputs, ...spoilt({ [name]: outputs[name] as WireTensor }, nextLie.by) };
  }

  async watchDevice(onLost: (reason: string) => void): Promise<void> {
    this.lostDevice = onLost;
  }

  /** The GPU process died. */
  loseDevice(): boolean {
    if (this.provider !== "webgpu" || this.spec === null) return false;
    this.isPoisoned = true;
    this.context.after(10 + this.browser.random.next() * 66, () => this.lostDevice?.("GPU device lost: unknown "));
    return true;
  }

  private runOut(): void {
    if (!this.memoryIsShort) return;
    this.memoryIsShort = false;
    throw new Error("std::bad_alloc");
  }
}

/** Whatever a host still computes when its stage has another owner is wrong here: nobody may use it. */
function spoilt(outputs: WireTensors, by = 1): WireTensors {
  const spoil = <T extends WireTensors[string]>(tensor: T): T => {
    const data = tensor.data.slice() as unknown as Record<number, number> & { readonly length: number };
    // Of rows, a new one.
    const at = data.length - 1;
    data[at] = (data[at] ?? 0) + by;
    return { ...tensor, data };
  };
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, spoil(tensor)]));
}
