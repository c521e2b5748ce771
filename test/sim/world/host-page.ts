import { WorkPort } from "../../../src/adapters/work-port.ts";
import { HoldfastError } from "../../../src/base/errors.ts";
import { FRAME_UP_DEADLINE_MS, KEEPER_TICK_MS } from "../../../src/base/limits.ts";
import { type RpcMessage, RpcPeer, servePort } from "../../../src/base/rpc.ts";
import { HostKeeper, type KeeperNeeds } from "../../../src/host/keeper.ts";
import type { HostCapability } from "../../../src/protocol/host.ts";
import type { IngestCalls } from "../../../src/protocol/ingest.ts";
import type { Provider } from "../../../src/protocol/options.ts";
import type { Handover, HostCalls, HostToPool, PoolToHost } from "../../../src/protocol/pool.ts";
import type { ShardPlan } from "../../../src/shard/types.ts";
import { planOf, specsOf } from "../../unit/driver/world/model.ts";
import type { Assignment, Browser } from "./browser.ts";
import { Context } from "./context.ts";
import { Frame } from "./frame.ts";
import { Lane } from "./lane.ts";
import { graphOf, modelOf, planIdOf } from "./models.ts";

/** As late as a tick can be and still count in full. */
const LATE_TICK_MS = 4 * KEEPER_TICK_MS;
const PUNCTUAL = 0.1;

/** A host's tab: its page and keeper in one process, its frame in another. What host-page.ts and KeeperRoom do. */
export class HostPage {
  readonly context: Context;
  isLoaded = false;
  isFrozen = false;
  frame: Frame | null = null;
  keeper: HostKeeper;
  /** The stage that its host is to serve. */
  assignment: Assignment | null = null;
  private mounted: ((port: MessagePort) => void) | null = null;
  private ingest: PoolToHost["ingest"] | null = null;
  private ingestPort: MessagePort | null = null;
  private readonly pool: RpcPeer<HostCalls, HostToPool, Record<never, never>, PoolToHost>;
  private port: WorkPort | null = null;
  private readonly lane: Lane;
  /** Of its keeper's timer: on most machines that do so much else it is late. */
  private readonly tickMs: number;
  /** The last frame that was taken down was well. */
  private tookDownHealthy = false;

  constructor(
    private readonly browser: Browser,
    readonly tabId: number,
    readonly hostId: string,
  ) {
    const { loop, random } = browser;
    this.context = new Context(loop, `page of ${hostId}`);
    this.tickMs = random.chance(PUNCTUAL) ? KEEPER_TICK_MS : LATE_TICK_MS;
    this.lane = new Lane(loop, () => browser.messageMs());
    this.keeper = new HostKeeper(this.needs(), hostId);
    this.pool = new RpcPeer<HostCalls, HostToPool, Record<never, never>, PoolToHost>(
      (message) => {
        if (this.context.alive) this.port?.post(message);
      },
      {},
      {
        boot: (boot) => void this.keeper.boot(boot),
        load: (load) => {
          if (!load.standby) this.assignment = this.browser.assign(load);
          void this.keeper.load(load);
        },
        ingest: (ingest) => {
          this.ingest = ingest;
          this.serveIngest();
        },
        // What comes back under its id is a spare.
        close: () => {
          this.keeper.close();
          this.keeper = new HostKeeper(this.needs(), hostId);
        },
        probe: (lease) => void this.keeper.probe(lease),
        ask: (lease) => this.keeper.ask(lease),
      },
    );
    this.context.after(70 + random.next() * 200, () => this.load());
  }

  private load(): void {
    const { browser, context } = this;
    this.isLoaded = true;
    this.port = new WorkPort(
      `host:tab:${this.hostId}`,
      {
        onMessage: (message) => this.pool.receive(message),
        onConnect: () => context.run(() => this.hello()),
        reconnect: () => false,
      },
      { after: (ms, action) => context.after(ms, action), connect: (name) => browser.connect(name, context) as never },
    );
    this.port.connect();
    this.tick();
  }

  kill(): void {
    this.context.kill();
    this.frame?.context.kill();
  }

  freeze(frozen: boolean): void {
    this.isFrozen = frozen;
    this.context.freeze(frozen);
    this.frame?.context.freeze(frozen);
  }

  // What the service worker posts.

  poolSays(message: RpcMessage): void {
    this.pool.receive(message);
  }
  report(): void {
    this.port?.renew();
  }
  leave(): void {
    this.browser.closeTab(this.tabId);
  }
  handedOver(message: Handover, ports: readonly MessagePort[]): void {
    if (message.holdfast === "wire") this.frame?.wire(ports);
    else {
      this.ingestPort = ports[0] ?? null;
      this.serveIngest();
    }
  }

  /** Messages of the service worker come in order. */
  ordered(action: () => void): void {
    this.lane.send(() => this.context.run(action));
  }

  private hello(): void {
    const { state } = this.keeper;
    this.pool.emit("hello", { place: "tab", hosts: state.attempt < 0 ? [] : [state] });
  }

  private tick(): void {
    const { frame, context } = this;
    if (frame?.isUp && !frame.context.alive) {
      this.frame = null;
      this.keeper.frameGone();
    }
    this.keeper.tick(context.loop.now);
    context.after(this.tickMs, () => this.tick());
  }

  private mount(): Promise<MessagePort> {
    this.unmount();
    return new Promise((resolve, reject) => {
      this.mounted = resolve;
      this.frame = new Frame(this.browser, this, (port) => {
        this.mounted?.(port);
        this.mounted = null;
      });
      this.context.after(FRAME_UP_DEADLINE_MS, () =>
        reject(new Error("the frame did not come up before its deadline")),
      );
    });
  }

  private unmount(): void {
    this.tookDownHealthy = this.frame?.isHealthy === true;
    // Its process is gone even when it is blocked.
    this.frame?.context.kill();
    this.frame = null;
  }

  private serveIngest(): void {
    const { ingest, ingestPort: port, context } = this;
    if (ingest === null || port === null) return;
    this.ingest = null;
    this.ingestPort = null;
    const { hostId, attempt, sessionId, model } = ingest;
    const taken = async (): Promise<null> => {
      await context.wait(this.browser.random.next() * 10, () => undefined);
      return null;
    };
    const calls = { begin: taken, chunk: taken, restart: taken, end: taken, missing: () => [], cancel: () => null };
    const peer = new RpcPeer<Record<never, never>, Record<never, never>, IngestCalls, Record<never, never>>(
      (message) => port.postMessage(message),
      {
        ...calls,
        fetch: () => ({ stored: false, why: null }),
        finish: async () => {
          await context.wait(30, () => undefined);
          const { shards, stateful } = modelOf(model);
          this.pool.emit("planned", {
            ...{ hostId, attempt, sessionId },
            planId: planIdOf(model),
            plan: planOf(specsOf(shards, stateful)),
          });
          return null;
        },
      },
      {},
    );
    servePort(port, peer);
  }

  private needs(): KeeperNeeds {
    const { browser, context } = this;
    const disk = browser.checkpoints;
    const read = <T>(value: () => T): Promise<T> => context.wait(1 + browser.random.next() * 6, value);
    return {
      stores: {
        readPlan: (planId) => read(() => ({ plan: shardPlanOf(planId), files: {} })),
        readGraph: (planId, shard) => read(() => graphOf(planId, shard)),
        openBlob: () => read(() => ({ size: 0, read: () => new Uint8Array(0), close: () => undefined })),
        runtimeFiles: () => read(() => ({ wasm: new ArrayBuffer(8), glue: "" })),
        writeCheckpoint: async (key, record, beforePut) => {
          const { attempt } = this.keeper.state;
          const bytes = await disk.write(context, key, record, beforePut);
          browser.watch?.stored(this.hostId, attempt, key.sessionId, key.stage);
          return bytes;
        },
        checkpointRuns: (key) => disk.runs(context, key),
        checkpointChain: (key, run) => disk.chain(context, key, run),
        checkpointDigests: (key) => disk.digests(context, key),
        checkpoint: (key, run) => disk.read(context, key, run),
        followCheckpoints: (key, changed) => disk.follow(context, key, changed),
        forgetCheckpoints: (key, run) => disk.forgetAfter(context, key, run),
      },
      mountFrame: () => this.mount(),
      unmountFrame: () => this.unmount(),
      probe: (wanted, gpuWaitMs) => this.probe(wanted, gpuWaitMs),
      report: (name, payload) => {
        if (!context.alive) return;
        if (name === "fault" && this.tookDownHealthy)
          browser.watch?.falseAlarm(this.hostId, (payload as HostToPool["fault"]).signal);
        this.pool.emit(name, payload);
      },
      now: () => context.loop.now,
      held: () => undefined,
      holdCheckpoint: async () => undefined,
    };
  }

  private async probe(wanted: readonly Provider[] | null, gpuWaitMs: number): Promise<HostCapability> {
    const { browser, context } = this;
    const asksGpu = wanted?.includes("webgpu") === true;
    if (asksGpu) await context.wait(Math.min(gpuWaitMs, Math.max(5, browser.gpuBackAt - context.loop.now)), () => 0);
    const hasGpu = asksGpu && context.loop.now >= browser.gpuBackAt;
    return {
      browser: { type: "chrome", version: "150" },
      providers: hasGpu ? ["webgpu", "wasm"] : ["wasm"],
      softwareGpu: false,
      gpuLimits: null,
      threads: 1,
      cores: 2,
      memoryGiB: 8,
    };
  }
}

function shardPlanOf(planId: string): ShardPlan {
  const { shards, stateful } = modelOf(planId);
  const specs = specsOf(shards, stateful);
  if (specs.length === 0) throw new HoldfastError("INTERNAL", "no such plan");
  return { ...planOf(specs), shards: specs } as unknown as ShardPlan;
}
