import { afterEach, describe, expect, it } from "vitest";
import { KEEPER_TICK_MS } from "../../../src/base/limits.ts";
import { RpcPeer, servePort } from "../../../src/base/rpc.ts";
import { HostKeeper, type KeeperStores } from "../../../src/host/keeper.ts";
import type {
  CheckpointRecord,
  FrameCalls,
  FrameEvents,
  FrameReports,
  KeeperCalls,
} from "../../../src/protocol/host.ts";
import type { HostToPool, Lease } from "../../../src/protocol/pool.ts";

const SPEC = { index: 0, receives: [], emits: [], inputs: [], outputs: [], state: [], weights: [], nodes: 1 };
/** The second is read by several nodes. */
const WEIGHTS = [
  { path: "w0", file: "", offset: 0, length: 2 },
  { path: "w1", file: "", offset: 2, length: 2, isShared: true },
];
const BOOT = {
  hostId: "h",
  origin: "o",
  providers: ["wasm"],
  gpuLosses: 0,
  measure: [],
  avoid: [],
} as const;
const CAPABILITY = {
  browser: { type: "chrome", version: "150" },
  providers: ["wasm" as const],
  softwareGpu: false,
  gpuLimits: null,
  threads: 1,
  cores: 2,
  memoryGiB: null,
};
const LOAD = { hostId: "h", origin: "o", sessionId: "s", stage: 0, planId: "p", durable: true, standby: false };
const record = (run: number): CheckpointRecord => ({ run, previous: null, state: null, kept: [], versions: [] });
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
};

const open: MessagePort[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

/** A keeper with real ports to frames that do as they are told, and storage that can be held. */
async function room() {
  const stored = new Set<number>();
  const told: { [E in keyof HostToPool]: { name: E; payload: HostToPool[E] } }[keyof HostToPool][] = [];
  const frames: RpcPeer<KeeperCalls, FrameReports, FrameCalls, FrameEvents>[] = [];
  const followers = new Set<() => void>();
  const warm: number[] = [];
  const takenOver: (readonly number[] | null)[] = [];
  const loads = { count: 0 };
  const storage = { gate: Promise.resolve() };
  const asksAgain: boolean[] = [];
  const probes: ("same" | "differs" | "unknown" | "throws")[] = [];
  const kept: boolean[] = [];
  const stores: KeeperStores = {
    readPlan: async () => ({ plan: { shards: [{ ...SPEC, weights: WEIGHTS, weightBytes: 4 }] }, files: {} }) as never,
    readGraph: async () => new Uint8Array(),
    openBlob: async () => ({ size: 4, read: (_, length) => new Uint8Array(length), close: () => undefined }),
    runtimeFiles: async () => ({ wasm: new ArrayBuffer(1), glue: "" }),
    writeCheckpoint: async (_, { run }) => {
      await storage.gate;
      stored.add(run);
      return 0;
    },
    checkpointRuns: async () => [...stored],
    checkpointChain: async (_, run) => (stored.has(run) ? [record(run)] : null),
    checkpointDigests: async () => new Map([...stored].map((run) => [run, `digest ${run}`])),
    checkpoint: async (_, run) => (stored.has(run) ? { record: record(run), digest: `digest ${run}` } : null),
    followCheckpoints: (_, changed) => {
      followers.add(changed);
      return () => void followers.delete(changed);
    },
    forgetCheckpoints: async (_, after) => {
      for (const run of stored) if (run > after) stored.delete(run);
    },
  };
  const keeper = new HostKeeper(
    {
      stores,
      mountFrame: async () => {
        const { port1, port2 } = new MessageChannel();
        open.push(port1, port2);
        const frame = new RpcPeer<KeeperCalls, FrameReports, FrameCalls, FrameEvents>(
          (message) => port2.postMessage(message),
          {
            boot: () => ({ speed: null }),
            weight: ({ isKept }) => {
              kept.push(isKept);
              return null;
            },
            load: () => {
              loads.count++;
              return null;
            },
            takeOver: ({ stored: runs }) => {
              takenOver.push(runs);
              return null;
            },
            create: () => ({ askedAgain: asksAgain.shift() ?? false }),
            probe: () => {
              const verdict = probes.shift() ?? "same";
              if (verdict === "throws") throw new Error("Aborted(). RuntimeError: unreachable");
              return { verdict };
            },
          },
          {
            ping: () => undefined,
            stored: () => undefined,
            hold: () => undefined,
            warm: ({ record: { run } }) => void warm.push(run),
            practise: () => undefined,
            cool: ({ runs }) => void warm.splice(0, warm.length, ...warm.filter((run) => !runs.includes(run))),
          },
        );
        servePort(port2, frame);
        frames.push(frame);
        return port1;
      },
      unmountFrame: () => undefined,
      probe: async () => CAPABILITY,
      report: (name, payload) => void told.push({ name, payload } as never),
      now: () => 0,
      held: () => undefined,
      holdCheckpoint: async () => undefined,
    },
    "h",
  );
  /** A frame that is ready, in place of the one before. */
  const start = async (attempt: number) => {
    await keeper.boot({ ...BOOT, attempt });
    await keeper.load({ ...LOAD, attempt, bootedAs: attempt });
    return frames.at(-1) as (typeof frames)[number];
  };
  const frameOf = () => frames.at(-1) as (typeof frames)[number];
  return { keeper, stored, told, storage, start, frameOf, asksAgain, kept, followers, warm, takenOver, loads, probes };
}

describe("a probe run", () => {
  it("of a host that is well says nothing to the pool", async () => {
    const { keeper, start, probes, told } = await room();
    await start(0);
    const before = told.length;
    for (const verdict of ["same", "unknown"] as const) {
      probes.push(verdict);
      await keeper.probe({ hostId: "h", attempt: 0 });
    }
    await keeper.probe({ hostId: "h", attempt: 1 });
    expect([told.length, keeper.state.ready]).toEqual([before, true]);
  });
  it.each(["differs", "throws"] as const)("that %s is the fault of its host, which is dropped", async (verdict) => {
    const { keeper, start, probes, told } = await room();
    await start(0);
    probes.push(verdict);
    await keeper.probe({ hostId: "h", attempt: 0 });
    expect(told.at(-1)).toMatchObject({ name: "fault", payload: { hostId: "h", attempt: 0 } });
    expect(keeper.state.ready).toBe(false);
  });
});

describe("a stage that goes back", () => {
  it("finds nothing of later runs in storage, also of those that were on their way", async () => {
    const { stored, storage, start } = await room();
    const frame = await start(0);
    frame.emit("checkpoint", record(16));
    await turns();
    let release = (): void => undefined;
    storage.gate = new Promise((resolve) => {
      release = resolve;
    });
    frame.emit("checkpoint", record(32));
    const forgotten = frame.call("forgetAfter", { run: 16 });
    await turns();
    release();
    await forgotten;
    expect([...stored]).toEqual([16]);
  });
  it("waits for what the frame before it had on its way", async () => {
    const { stored, storage, start } = await room();
    const dying = await start(0);
    let release = (): void => undefined;
    storage.gate = new Promise((resolve) => {
      release = resolve;
    });
    dying.emit("checkpoint", record(32));
    await turns();
    const frame = await start(1);
    const forgotten = frame.call("forgetAfter", { run: 16 });
    await turns();
    release();
    await forgotten;
    expect([...stored]).toEqual([]);
  });
  it("is refused where storage does not have the state", async () => {
    const { start } = await room();
    const frame = await start(0);
    await expect(frame.call("records", { run: 16 })).rejects.toMatchObject({ code: "STATE_LOST" });
  });
});

describe("a spare that a stage takes", () => {
  it("loads in the frame that it has, and answers to the new attempt alone", async () => {
    const { keeper, told, stored, start } = await room();
    await start(0);
    await keeper.boot({ ...BOOT, origin: null, attempt: 1 });
    await keeper.load({ ...LOAD, attempt: 4, bootedAs: 0 });
    expect(keeper.state).toEqual({ hostId: "h", attempt: 1, ready: false });
    const frames = told.filter(({ name }) => name === "booted").length;
    await keeper.load({ ...LOAD, attempt: 4, bootedAs: 1 });
    expect(keeper.state).toEqual({ hostId: "h", attempt: 4, ready: true });
    expect(told.filter(({ name }) => name === "booted")).toHaveLength(frames);
    expect(told.at(-1)).toMatchObject({ name: "ready", payload: { attempt: 4 } });
    expect([...stored]).toEqual([]);
  });
  it("says so when its frame had died before it heard of it", async () => {
    const { keeper, told } = await room();
    await keeper.boot({ ...BOOT, origin: null, attempt: 0 });
    keeper.frameGone();
    await keeper.load({ ...LOAD, attempt: 3, bootedAs: 0 });
    expect(told.map(({ name, payload }) => [name, (payload as Lease).attempt])).toEqual([
      ["booted", 0],
      ["fault", 0],
      ["fault", 3],
    ]);
  });
  it("has its checkpoints stored, although its frame is older than its lease", async () => {
    const { keeper, stored, frameOf } = await room();
    await keeper.boot({ ...BOOT, origin: null, attempt: 0 });
    await keeper.load({ ...LOAD, attempt: 3, bootedAs: 0 });
    frameOf().emit("checkpoint", record(16));
    await turns();
    expect([...stored]).toEqual([16]);
  });
});

describe("a standby", () => {
  const standBy = async () => {
    const all = await room();
    await all.keeper.boot({ ...BOOT, origin: null, attempt: 0 });
    await all.keeper.load({ ...LOAD, attempt: 0, bootedAs: 0, standby: true });
    return all;
  };

  it("has in its frame what is stored, as it is stored, and not what was given up", async () => {
    const { stored, followers, warm } = await standBy();
    const change = async (run: number, isThere: boolean) => {
      if (isThere) stored.add(run);
      else stored.delete(run);
      for (const changed of followers) changed();
      await turns();
    };
    await change(0, true);
    await change(16, true);
    expect(warm).toEqual([0, 16]);
    await change(16, false);
    expect(warm).toEqual([0]);
  });
  it("takes over without loading, and with what its frame has", async () => {
    const { keeper, told, stored, followers, frameOf, takenOver, loads } = await standBy();
    stored.add(16);
    const loaded = loads.count;
    await keeper.load({ ...LOAD, attempt: 5, bootedAs: 0 });
    expect([loads.count, takenOver]).toEqual([loaded, [[16]]]);
    expect(told.at(-1)).toMatchObject({ name: "ready", payload: { attempt: 5, weightBytes: 4 } });
    // Also of what it has not heard yet.
    expect(await frameOf().call("records", { run: 16 })).toBe("warm");
    expect(followers.size).toBe(0);
    // From then on it is a host like any other.
    expect(await frameOf().call("records", { run: 16 })).toEqual([record(16)]);
    frameOf().emit("checkpoint", record(32));
    await turns();
    expect([...stored]).toEqual([16, 32]);
  });
  it("of another stage loads like a spare", async () => {
    const { keeper, loads } = await standBy();
    const loaded = loads.count;
    await keeper.load({ ...LOAD, stage: 0, sessionId: "other", attempt: 5, bootedAs: 0 });
    expect(loads.count).toBe(loaded + 1);
  });
});

describe("a shard whose weights onnxruntime may ask for twice", () => {
  it("is loaded a second time, with all of them kept", async () => {
    const { start, asksAgain, kept, told } = await room();
    asksAgain.push(true);
    await start(0);
    expect(kept).toEqual([false, true, true, true]);
    expect(told.filter(({ name }) => name === "ready")).toHaveLength(1);
  });
  it("is loaded once where it does not", async () => {
    const { start, kept } = await room();
    await start(0);
    expect(kept).toEqual([false, true]);
  });
});

describe("a shard that onnxruntime takes long to take", () => {
  it("says that it lives as far as it came", async () => {
    const { start, told } = await room();
    const frame = await start(0);
    const before = told.filter(({ name }) => name === "progress").length;
    frame.emit("weightsTaken", null);
    await turns();
    const after = told.filter(({ name }) => name === "progress");
    expect(after).toHaveLength(before + 1);
    expect(after.at(-1)?.payload).toMatchObject({ phase: "weights", loadedBytes: 4, totalBytes: 4 });
  });
});

describe("a host that somebody cannot reach", () => {
  it("says for how long it had no run, and 0 in the middle of one", async () => {
    const { keeper, told, start } = await room();
    const frame = await start(3);
    const idle = () => {
      keeper.ask({ hostId: "h", attempt: 3 });
      const last = told.at(-1);
      return last?.name === "alive" ? last.payload.idleMs : null;
    };
    for (let tick = 0; tick <= 40; tick++) keeper.tick(tick * KEEPER_TICK_MS);
    expect(idle()).toBe(40 * KEEPER_TICK_MS);
    frame.emit("runStarted", { run: 1, shape: "1x1" });
    await turns();
    for (let tick = 41; tick <= 60; tick++) keeper.tick(tick * KEEPER_TICK_MS);
    expect(idle()).toBe(0);
    frame.emit("runEnded", { run: 1 });
    await turns();
    keeper.tick(61 * KEEPER_TICK_MS);
    expect(idle()).toBe(KEEPER_TICK_MS);
  });
  it("says nothing for an attempt that is not its own, or without a shard", async () => {
    const { keeper, told, start } = await room();
    keeper.ask({ hostId: "h", attempt: -1 });
    await start(0);
    keeper.ask({ hostId: "h", attempt: 1 });
    expect(told.filter(({ name }) => name === "alive")).toEqual([]);
  });
});
