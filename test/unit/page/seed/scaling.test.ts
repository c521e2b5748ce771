import { describe, expect, it } from "vitest";
import { COPY_IDLE_MS, MODEL_IDLE_MS } from "../../../../src/base/limits.ts";
import type { CreateSessionOptions } from "../../../../src/page/pool.ts";
import { PoolBridge, type ResourcePoolOptions } from "../../../../src/page/seed/pool-bridge.ts";
import { decideScaling, type ModelLoad, type ScalingInput } from "../../../../src/page/seed/scaling-decision.ts";
import type { Session } from "../../../../src/page/session.ts";

const GIB = 1024 ** 3;
const BUSY: ModelLoad = { name: "a", hosts: 1, weightBytes: 1, queue: 4, spareIdleSince: [], mayGrow: true };
const INPUT: Omit<ScalingInput, "models"> = {
  connections: 1,
  maxConnections: 4,
  usedBytes: 0,
  deviceBytes: 8 * GIB,
  now: 100_000,
};
const decide = (models: readonly Partial<ModelLoad>[], input: Partial<ScalingInput> = {}) =>
  decideScaling({ ...INPUT, ...input, models: models.map((model) => ({ ...BUSY, ...model })) });

describe("what an adaptive pool decides", () => {
  it("one copy more for the model with the longest queue, and says why", () => {
    expect(decide([{ queue: 3 }, { name: "b", queue: 9 }])).toEqual({
      grow: { name: "b", reason: "9 runs waited for 1 copy" },
      shrink: [],
    });
  });
  it.each<[string, Partial<ModelLoad>, Partial<ScalingInput>]>([
    ["one run waits", { queue: 1 }, {}],
    ["the copies that there are will do", { queue: 4, spareIdleSince: [null, null] }, {}],
    ["the model keeps state", { mayGrow: false }, {}],
    ["all hosts are in use", {}, { connections: 4 }],
    ["the copy needs more hosts than are left", { hosts: 2 }, { connections: 3 }],
    ["memory would not do", { weightBytes: 2 * GIB }, { usedBytes: 3 * GIB }],
  ])("no copy where %s", (_, model, input) => {
    expect(decide([model], input).grow).toBeNull();
  });
  it("where the browser does not say how much memory there is, hosts alone bound it", () => {
    expect(decide([{ weightBytes: 99 * GIB }], { deviceBytes: null }).grow).not.toBeNull();
  });
  it("a copy that was idle for long enough goes, and at once where memory is short", () => {
    const idle = { queue: 0, spareIdleSince: [100_000 - COPY_IDLE_MS, 99_999, null] };
    expect(decide([idle]).shrink).toEqual(["a"]);
    expect(decide([idle], { usedBytes: 5 * GIB }).shrink).toEqual(["a", "a"]);
    expect(decide([{ ...idle, queue: 1 }]).shrink).toEqual([]);
  });
});

/** Models whose runs end when the test says so. */
class World {
  now = 0;
  readonly open: string[] = [];
  /** Runs under way, by session. */
  readonly running = new Map<string, (() => void)[]>();
  failOpens = false;
  private timers: { at: number; action: () => void }[] = [];
  readonly bridge: PoolBridge;

  constructor(options: ResourcePoolOptions, stateful = false) {
    const platform = {
      now: () => this.now,
      after: (ms: number, action: () => void) => {
        const timer = { at: this.now + ms, action };
        this.timers.push(timer);
        return () => {
          this.timers = this.timers.filter((one) => one !== timer);
        };
      },
    };
    const status = async () => ({
      browserType: "chrome",
      browsers: [],
      sessions: [],
      faults: [],
      operations: [],
      circuitBreakers: [],
    });
    this.bridge = new PoolBridge(
      {
        createSession: async (model, own) => this.session(String(model), own, stateful),
        infer: (session) =>
          new Promise((resolve) => {
            const answer = (): void => resolve({ outputs: {}, text: session.id, ids: [] });
            this.running.set(session.id, [...(this.running.get(session.id) ?? []), answer]);
          }),
        status,
        failHost: async () => ({ sessionId: "s", stage: 0, attempt: 0 }),
        moveHost: async (hostId) => ({ moved: false, hostId }),
        deviceBytes: null,
        platform,
      },
      options,
    );
  }

  async pass(ms: number): Promise<void> {
    this.now += ms;
    const due = this.timers.filter(({ at }) => at <= this.now);
    this.timers = this.timers.filter(({ at }) => at > this.now);
    for (const { action } of due) action();
    await settled();
  }

  /** Every run under way is answered; so are those that come after it. */
  async answerAll(): Promise<void> {
    for (let open = true; open; await settled()) {
      const answers = [...this.running.values()].flat();
      this.running.clear();
      open = answers.length > 0;
      for (const answer of answers) answer();
    }
  }

  private session(name: string, options: CreateSessionOptions, stateful: boolean): Session {
    if (this.failOpens) throw new Error("no memory");
    const id = `${name}#${this.open.length}`;
    this.open.push(id);
    const stages = Array.from({ length: options.shards ?? 1 }, (_, stage) => ({
      stage,
      hostId: `${id}-${stage}`,
      weightBytes: 1,
    }));
    const plan = { stateInputs: stateful ? ["past"] : [] };
    const release = async () => void this.open.splice(this.open.indexOf(id), 1);
    return { id, stages, busy: false, plan, on: () => () => undefined, release } as unknown as Session;
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
}

const runs = (count: number) => Array.from({ length: count }, () => ({ modelName: "bert", inputs: { text: "x" } }));

describe("an adaptive pool", () => {
  it("opens copies while runs wait, shares the runs among them, and gives the copies back when they are idle", async () => {
    const world = new World({ maxConnections: 3, adaptiveScaling: true });
    const answers = world.bridge.executeConcurrent(runs(20));
    await settled();
    expect(world.open).toEqual(["bert#0", "bert#1", "bert#2"]);
    expect((await world.bridge.getMetrics()).adaptiveScaling).toMatchObject({
      enabled: true,
      copies: { bert: { count: 3, queue: 14 } },
      grown: 2,
      shrunk: 0,
    });
    expect(world.bridge.connections).toBe(3);
    await world.answerAll();
    const results = await answers;
    expect(results.every(({ success }) => success)).toBe(true);
    const by = results.map((one) => (one.success ? one.result.text : null));
    expect(new Set(by)).toEqual(new Set(["bert#0", "bert#1", "bert#2"]));
    await world.pass(COPY_IDLE_MS);
    expect(world.open).toEqual(["bert#0"]);
    expect((await world.bridge.getMetrics()).adaptiveScaling).toMatchObject({
      copies: { bert: { count: 1 } },
      shrunk: 2,
    });
    await world.pass(MODEL_IDLE_MS);
    expect(world.open).toEqual([]);
  });
  it("gives idle copies back at once when another model needs their hosts", async () => {
    const world = new World({ maxConnections: 2, adaptiveScaling: true });
    const answers = world.bridge.executeConcurrent(runs(8));
    await settled();
    await world.answerAll();
    await answers;
    expect(world.open).toHaveLength(2);
    await world.bridge.getModel("", "other");
    expect(world.open).toEqual(["bert#0", "other#1"]);
  });
  it("opens no copy of a model that keeps state, and none where the option is off: all runs go to the one there is", async () => {
    for (const world of [
      new World({ maxConnections: 3, adaptiveScaling: true }, true),
      new World({ maxConnections: 3 }),
    ]) {
      void world.bridge.executeConcurrent(runs(20));
      await settled();
      expect([world.open, world.running.get("bert#0")?.length]).toEqual([["bert#0"], 20]);
    }
  });
  it("does not try again what could not be opened, and no run is lost by it", async () => {
    const world = new World({ maxConnections: 3, adaptiveScaling: true });
    await world.bridge.getModel("", "bert");
    world.failOpens = true;
    const answers = world.bridge.executeConcurrent(runs(9));
    await settled();
    await world.answerAll();
    expect((await answers).filter(({ success }) => success)).toHaveLength(9);
    expect([world.open, world.bridge.connections]).toEqual([["bert#0"], 1]);
  });
});
