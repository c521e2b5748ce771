import { describe, expect, it } from "vitest";
import type { CreateSessionOptions } from "../../../../src/page/pool.ts";
import { chooseBrowser } from "../../../../src/page/seed/browser-choice.ts";
import { PoolBridge, type ResourcePoolOptions } from "../../../../src/page/seed/pool-bridge.ts";
import type { Session } from "../../../../src/page/session.ts";
import type { OriginStatus } from "../../../../src/protocol/origin.ts";

const NOTHING: OriginStatus = {
  browserType: "chrome",
  browsers: [],
  sessions: [],
  faults: [],
  operations: [],
  circuitBreakers: [],
};

/** A pool of sessions that only exist; time is the test's. */
class World {
  now = 0;
  readonly open: string[] = [];
  readonly asked: CreateSessionOptions[] = [];
  failing = false;
  private timers: { at: number; action: () => void }[] = [];
  readonly bridge: PoolBridge;

  constructor(
    options: ResourcePoolOptions,
    private readonly stateful: readonly string[] = [],
  ) {
    this.bridge = new PoolBridge(
      {
        createSession: async (model, own) => this.session(model as string, own),
        infer: async () => {
          if (this.failing) throw new Error("it failed");
          return { outputs: {}, text: "done", ids: [] };
        },
        status: async () => NOTHING,
        failHost: async () => ({ sessionId: "s", stage: 0, attempt: 0 }),
        moveHost: async (hostId) => ({ moved: false, hostId }),
        deviceBytes: null,
        platform: {
          now: () => this.now,
          after: (ms, action) => {
            const timer = { at: this.now + ms, action };
            this.timers.push(timer);
            return () => {
              this.timers = this.timers.filter((one) => one !== timer);
            };
          },
        },
      },
      options,
    );
  }

  pass(ms: number): void {
    this.now += ms;
    const due = this.timers.filter(({ at }) => at <= this.now);
    this.timers = this.timers.filter(({ at }) => at > this.now);
    for (const { action } of due) action();
  }

  private session(name: string, options: CreateSessionOptions): Session {
    this.open.push(name);
    this.asked.push(options);
    const stages = Array.from({ length: options.shards ?? 1 }, (_, stage) => ({ stage, hostId: `${name}-${stage}` }));
    return {
      id: name,
      stages,
      busy: false,
      plan: { stateInputs: this.stateful.includes(name) ? ["past"] : [] },
      on: () => () => undefined,
      release: async () => void this.open.splice(this.open.indexOf(name), 1),
    } as unknown as Session;
  }
}

describe("the pool's models", () => {
  it("are opened once, also when they are asked for twice at once", async () => {
    const { bridge, open } = new World({});
    const [a, b] = await Promise.all([bridge.getModel("text", "bert"), bridge.getModel("text", "bert")]);
    expect(a).toBe(b);
    expect(open).toEqual(["bert"]);
  });

  it("have the pool's level and strategy, unless they have their own", async () => {
    const rest = { checkpointIntervalMs: 5_000, maxRecoveryAttempts: 2 };
    const { bridge, asked } = new World({
      faultToleranceOptions: { level: "low", recoveryStrategy: "restart", ...rest },
    });
    await bridge.getModel("", "a");
    await bridge.getModel("", "b", { faultToleranceLevel: "medium" });
    expect(asked).toMatchObject([
      { faultToleranceLevel: "low", recoveryStrategy: "restart", ...rest },
      { faultToleranceLevel: "medium", recoveryStrategy: "restart", ...rest },
    ]);
  });

  it("share maxConnections hosts, those on their way included", async () => {
    const { bridge } = new World({ maxConnections: 3 });
    const opening = bridge.getModel("", "a", { shards: 2 });
    await expect(bridge.getModel("", "b", { shards: 2 })).rejects.toMatchObject({ code: "TOO_MANY_HOSTS" });
    await opening;
    await bridge.getModel("", "c");
    expect(bridge.connections).toBe(3);
  });

  it("of an adaptive pool make room, the one that was not run for longest first; not for what can never fit", async () => {
    const world = new World({ maxConnections: 2, adaptiveScaling: true });
    const a = await world.bridge.getModel("", "a");
    await world.bridge.getModel("", "b");
    world.now = 10;
    await a.run({ text: "x" });
    await world.bridge.getModel("", "c");
    expect(world.open).toEqual(["a", "c"]);
    await expect(world.bridge.getModel("", "d", { shards: 3 })).rejects.toMatchObject({ code: "TOO_MANY_HOSTS" });
    expect(world.open).toEqual(["a", "c"]);
  });

  it("of an adaptive pool that keep state stay, the others go after a minute without a run", async () => {
    const world = new World({ adaptiveScaling: true }, ["decoder"]);
    await world.bridge.getModel("", "decoder");
    const bert = await world.bridge.getModel("", "bert");
    world.now = 30_000;
    await bert.run({ text: "x" });
    world.pass(30_000);
    expect(world.open).toEqual(["decoder", "bert"]);
    world.pass(60_000);
    expect(world.open).toEqual(["decoder"]);
  });

  it("run at once, each failing alone, and their times are kept", async () => {
    const world = new World({});
    const run = { modelName: "a", inputs: { text: "x" } };
    expect(await world.bridge.executeConcurrent([run])).toMatchObject([{ success: true, browserId: "a-0" }]);
    world.failing = true;
    expect(await world.bridge.executeConcurrent([run, run])).toEqual([
      { success: false, error: "it failed" },
      { success: false, error: "it failed" },
    ]);
    expect(world.bridge.performanceTracker.getFailureRateByModel("a")).toBeCloseTo(2 / 3);
    expect((await world.bridge.getMetrics()).connections).toMatchObject({ current: 1, max: 4 });
    await world.bridge.close();
    expect(world.open).toEqual([]);
  });

  it.each<[ResourcePoolOptions, string]>([
    [{ maxConnections: 0 }, "BAD_OPTIONS"],
    [{ faultToleranceOptions: { level: "low", recoveryStrategy: "coordinated" } }, "BAD_OPTIONS"],
    [{ faultToleranceOptions: { checkpointIntervalMs: -1 } }, "BAD_OPTIONS"],
    [{ faultToleranceOptions: { maxRecoveryAttempts: 0 } }, "BAD_OPTIONS"],
  ])("%o is refused at construction", (options, expected) => {
    expect(() => new World(options)).toThrow(expect.objectContaining({ code: expected }));
  });
});

describe("the browser of a model", () => {
  const none = { recommendedType: null, reason: "There is no history." };
  const edge = { recommendedType: "edge", reason: "edge gives an answer soonest." };
  it.each([
    ["the preferred one", "edge", none, ["chrome", "edge"], "edge", /preferred/],
    ["the recommended one", undefined, edge, ["chrome", "edge"], "edge", /soonest/],
    [
      "the recommended one, where the preferred one is not at hand",
      "firefox",
      edge,
      ["chrome", "edge"],
      "edge",
      /firefox.*soonest/,
    ],
    [
      "what there is",
      "firefox",
      edge,
      ["chrome"],
      "chrome",
      /firefox was preferred and is not at hand. chrome is what there is/,
    ],
  ] as const)("is %s", (_, wanted, recommended, available, type, reason) => {
    const choice = chooseBrowser(wanted, recommended, [...available] as [string, ...string[]]);
    expect(choice.browserType).toBe(type);
    expect(choice.reason).toMatch(reason);
  });
});
