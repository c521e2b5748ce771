import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import { CHECKPOINT_EVERY_RUNS, CHECKPOINTS_UNSTORED_MAX } from "../../../src/base/limits.ts";
import type { WireTensors } from "../../../src/base/tensor.ts";
import { Stage } from "../../../src/host/stage.ts";
import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import type { RunHead, StageMessage } from "../../../src/protocol/stage.ts";
import type { ShardSpec } from "../../../src/shard/types.ts";

/** Adds what it is fed to a sum that stays in the host. */
const SPEC: ShardSpec = {
  index: 0,
  receives: ["mask", "x"],
  emits: ["mask", "y"],
  inputs: ["x"],
  outputs: ["sumN", "y"],
  state: [{ input: { name: "sum", type: "int32", dims: [1] }, output: "sumN", appendAxis: null }],
  weights: [],
  weightBytes: 0,
  nodes: 1,
};

const int = (value: number) => ({ type: "int32", dims: [1], data: Int32Array.of(value) }) as const;
const numberIn = (tensors: WireTensors, name: string): number => Number(tensors[name]?.data[0]);
const feeds = (x: number): WireTensors => ({ x: int(x), mask: int(-1) });
const head = (run: number, more: Partial<RunHead> = {}): RunHead => ({
  run,
  reset: run === 0,
  checkpoint: false,
  safe: -1,
  reply: "page",
  ...more,
});
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
};

function bench(options: { durable?: boolean; stored?: number[]; stopsAtFailure?: boolean; stateful?: boolean } = {}) {
  const sent: StageMessage[] = [];
  const checkpoints: CheckpointRecord[] = [];
  const executed: number[] = [];
  const events: string[] = [];
  const control = { fail: null as Error | null, fatal: false, gate: Promise.resolve() };
  const stage = new Stage(
    {
      execute: async (inputs) => {
        await control.gate;
        if (control.fail !== null) throw control.fail;
        executed.push(numberIn(inputs, "x"));
        const sum = numberIn(inputs, "sum") + numberIn(inputs, "x");
        return { y: int(sum), sumN: int(sum) };
      },
      send: (message) => sent.push(message),
      checkpoint: (record) => checkpoints.push(structuredClone(record)),
      records: async (run) => checkpoints.filter((record) => record.run === run),
      forgetAfter: async (run) => void events.push(`forget after ${run}`),
      fatal: (error) => {
        events.push(`asked of ${(error as Error).message}`);
        return control.fatal || !(error instanceof HoldfastError);
      },
      runStarted: (run) => events.push(`started ${run}`),
      runEnded: (run) => events.push(`ended ${run}`),
      hold: async () => undefined,
    },
    SPEC,
    { durable: true, stored: [], stateful: true, stopsAtFailure: false, last: true, ...options },
  );
  const answers = () =>
    sent.map((message) =>
      "error" in message
        ? `${message.head.run}!${message.error.code}`
        : `${message.head.run}=${numberIn(message.tensors, "y")}`,
    );
  /** Wired and told to go on after `run`. */
  const begin = async (run = -1) => {
    stage.rewired();
    await stage.sync();
    await stage.restore(run, "initial");
    stage.resend(run + 1);
  };
  const feed = (run: number, x: number, more: Partial<RunHead> = {}) =>
    stage.receive({ head: head(run, more), tensors: feeds(x) });
  return { stage, sent, checkpoints, executed, events, control, answers, begin, feed };
}

/** Eighteen runs are done, the states after two of them stored, and the channels are new. */
async function after17() {
  const made = bench();
  await made.begin();
  for (let run = 0; run < 18; run++) made.feed(run, 1);
  await settled();
  for (const run of [0, 16]) made.stage.stored(run);
  made.stage.rewired();
  return made;
}

describe("a stage runs", () => {
  it("each run once, in the order of their numbers, whatever order they come in", async () => {
    const { begin, feed, answers, executed } = bench();
    await begin();
    feed(2, 30);
    feed(0, 10);
    await settled();
    expect(answers()).toEqual(["0=10"]);
    feed(1, 20);
    await settled();
    expect(answers()).toEqual(["0=10", "1=30", "2=60"]);
    expect(executed).toEqual([10, 20, 30]);
  });
  it("nothing twice: what comes again is dropped", async () => {
    const { stage, begin, feed, executed } = bench();
    await begin();
    for (let time = 0; time < 3; time++) feed(0, 1);
    await settled();
    feed(0, 1);
    stage.receive({ head: head(0), tensors: feeds(1) });
    await settled();
    expect(executed).toEqual([1]);
  });
  it("not a run that is to be skipped, although its feeds come as well", async () => {
    const { stage, begin, feed, answers } = bench();
    await begin();
    const error = { code: "RUN_FAILED", category: "UNKNOWN", message: "bad" } as const;
    stage.receive({ head: head(1), error });
    feed(1, 9);
    feed(0, 1);
    feed(2, 2);
    await settled();
    expect(answers()).toEqual(["0=1", "1!RUN_FAILED", "2=3"]);
  });
  it("from initial state when the head says so", async () => {
    const { begin, feed, answers } = bench();
    await begin();
    feed(0, 5);
    feed(1, 6, { reset: true });
    await settled();
    expect(answers()).toEqual(["0=5", "1=6"]);
  });
  it("and passes on what it does not make itself", async () => {
    const { begin, feed, sent } = bench();
    await begin();
    feed(0, 5);
    await settled();
    expect(Object.keys((sent[0] as { tensors: WireTensors }).tensors)).toEqual(["mask", "y"]);
  });
  it("nothing before the channels are agreed on, and begins none while they are not", async () => {
    const { stage, begin, feed, answers } = bench();
    await begin();
    stage.rewired();
    feed(0, 1);
    await settled();
    expect(answers()).toEqual([]);
    stage.resend(0);
    await settled();
    expect(answers()).toEqual(["0=1"]);
  });
});

describe("sending again", () => {
  it("starts at the run that is asked for", async () => {
    const { stage, begin, feed, answers, sent } = bench();
    await begin();
    for (const run of [0, 1, 2]) feed(run, 1);
    await settled();
    sent.length = 0;
    stage.resend(1);
    expect(answers()).toEqual(["1=2", "2=3"]);
  });
  it("keeps nothing that is safe", async () => {
    const { stage, begin, feed, answers, sent } = bench();
    await begin();
    for (const run of [0, 1]) feed(run, 1);
    feed(2, 1, { safe: 1 });
    await settled();
    sent.length = 0;
    stage.resend(0);
    expect(answers()).toEqual(["2=3"]);
  });
  it("has nothing at a level that keeps no state", async () => {
    const { stage, begin, feed, sent } = bench({ durable: false });
    await begin();
    feed(0, 1);
    await settled();
    sent.length = 0;
    stage.resend(0);
    expect(sent).toEqual([]);
  });
  it("brings what was finished while the channels were new", async () => {
    const { stage, begin, feed, answers, control } = bench();
    await begin();
    let open = (): void => undefined;
    control.gate = new Promise((resolve) => {
      open = resolve;
    });
    feed(0, 1);
    await settled();
    stage.rewired();
    const status = stage.sync();
    open();
    expect(await status).toMatchObject({ run: 0 });
    expect(answers()).toEqual([]);
    stage.resend(0);
    expect(answers()).toEqual(["0=1"]);
  });
});

describe("checkpoints and restoring", () => {
  it("are taken after a reset, every so many runs, and where it is asked for", async () => {
    const { begin, feed, checkpoints } = bench();
    await begin();
    for (let run = 0; run < 30; run++) feed(run, 1, { checkpoint: run === 5 });
    await settled();
    expect(checkpoints.map(({ run }) => run)).toEqual([0, 5, 5 + CHECKPOINT_EVERY_RUNS]);
  });
  it("are named once they are stored", async () => {
    const { stage, begin, feed } = bench({ stored: [] });
    await begin();
    feed(0, 1);
    await settled();
    expect(await stage.sync()).toMatchObject({ run: 0, stored: [] });
    expect(stage.stored(0)).toBe(true);
    expect(await stage.sync()).toMatchObject({ run: 0, stored: [0] });
  });
  it("that another host stored are a standby's, once it takes the stage over", async () => {
    const { stage } = bench({ stored: [0] });
    stage.storedAre([0, 16, 32]);
    expect(await stage.sync()).toMatchObject({ run: null, stored: [0, 16, 32] });
    expect(await stage.restore(16, "initial")).toMatchObject({ run: 16, stored: [0, 16] });
  });
  it("bring the state back; runs after it are done anew", async () => {
    const { stage, feed, answers, sent } = await after17();
    expect(await stage.restore(0, "records")).toMatchObject({ run: 0, stored: [0] });
    sent.length = 0;
    stage.resend(1);
    feed(1, 100);
    await settled();
    expect(answers()).toEqual(["1=101"]);
  });
  it("stay where the session was promised them, however far back the runs are done again", async () => {
    const { stage, events } = await after17();
    expect(await stage.restore(-1, "initial", 17, 16)).toMatchObject({ run: -1, stored: [0, 16] });
    expect(events.at(-1)).toBe("forget after 16");
  });
  it("that were under way when the state was put back count for nothing", async () => {
    const { stage, begin, feed } = bench();
    await begin();
    feed(0, 1);
    await settled();
    await stage.restore(-1, "initial");
    expect(stage.stored(0)).toBe(false);
    expect(await stage.sync()).toMatchObject({ run: -1, stored: [] });
  });
  it("a restore deletes what is stored after it before it answers: a host that comes next must not find it", async () => {
    const { stage, begin, feed, events } = bench();
    await begin();
    feed(0, 1);
    await settled();
    await stage.restore(0, "records");
    expect(events.at(-1)).toBe("forget after 0");
  });
  it("nothing is deleted at a level that stores nothing", async () => {
    const { begin, events } = bench({ durable: false });
    await begin();
    expect(events).toEqual([]);
  });
  it("hold the stage back while storage does not keep up", async () => {
    const { stage, begin, feed, checkpoints, executed } = bench();
    await begin();
    for (let run = 0; run < 10; run++) feed(run, run, { reset: true });
    await settled();
    expect(executed).toEqual([0, 1, 2]);
    // Nobody who asks how far it is waits for storage.
    expect(await stage.sync()).toMatchObject({ run: 2 });
    for (let run = 0; run < 10; run++) {
      stage.stored(run);
      await settled();
      expect(checkpoints.length - run - 1).toBeLessThanOrEqual(CHECKPOINTS_UNSTORED_MAX + 1);
    }
    expect(executed).toHaveLength(10);
  });
  it("that could not be stored hold nothing up, and the next one takes along what they held", async () => {
    const { stage, begin, feed, checkpoints } = bench();
    await begin();
    feed(0, 1);
    await settled();
    expect(stage.storeFailed(0)).toBe(true);
    expect(stage.storeFailed(0)).toBe(false);
    feed(1, 2, { checkpoint: true });
    await settled();
    expect(checkpoints.map(({ run, previous, state }) => [run, previous, state])).toEqual([
      [0, null, "0"],
      [1, null, "1"],
    ]);
    expect(await stage.sync()).toMatchObject({ run: 1, stored: [] });
    expect(stage.stored(1)).toBe(true);
  });
  it("are made as often as the first stage is told to, counted from the last; a failed run is none, the next is", async () => {
    const { stage, begin, feed, checkpoints, control } = bench();
    await begin();
    stage.pace({ every: 2 });
    for (let run = 0; run < 3; run++) feed(run, 1);
    feed(3, 1, { checkpoint: true });
    await settled();
    for (const { run } of checkpoints) stage.stored(run);
    feed(4, 1);
    await settled();
    control.fail = new HoldfastError("RUN_FAILED", "no");
    feed(5, 1);
    await settled();
    control.fail = null;
    feed(6, 1);
    feed(7, 1);
    await settled();
    expect(checkpoints.map(({ run }) => run)).toEqual([0, 2, 3, 6]);
  });
  it("end one after the other: a later question sees what an earlier restore did", async () => {
    const { stage, begin, feed } = bench();
    await begin();
    feed(0, 1);
    await settled();
    const [, status] = await Promise.all([stage.restore(0, "records"), stage.sync()]);
    expect(status.run).toBe(0);
  });
  it("a restore that finds no records rejects, and the stage can be asked again", async () => {
    const { stage } = bench();
    const failing = new Stage(
      {
        ...(stage as unknown as { needs: ConstructorParameters<typeof Stage>[0] }).needs,
        records: () => Promise.reject(new HoldfastError("STATE_LOST", "gone")),
      },
      SPEC,
      { durable: true, stored: [3], stateful: true, stopsAtFailure: false, last: true },
    );
    await expect(failing.restore(3, "records")).rejects.toMatchObject({ code: "STATE_LOST" });
    expect(await failing.sync()).toMatchObject({ run: null });
  });
});

describe("a run that fails", () => {
  const error = new HoldfastError("RUN_FAILED", "bad");

  it("when it is done again, although its caller has the answer, ends the host and is not skipped", async () => {
    const { stage, feed, answers, events, control } = bench();
    stage.rewired();
    await stage.restore(-1, "initial", 0);
    stage.resend(0);
    control.fail = error;
    feed(0, 1);
    feed(1, 1);
    await settled();
    expect(answers()).toEqual([]);
    expect(events).toContain("asked of run 0 failed when it was done again: bad");
  });

  it("is answered with the error, keeps its number and changes no state", async () => {
    const { begin, feed, answers, control } = bench();
    await begin();
    feed(0, 1);
    await settled();
    control.fail = error;
    feed(1, 50);
    await settled();
    control.fail = null;
    feed(2, 2);
    await settled();
    expect(answers()).toEqual(["0=1", "1!RUN_FAILED", "2=3"]);
  });
  it("in another stage passes through", async () => {
    const { stage, begin, feed, answers, executed } = bench();
    await begin();
    stage.receive({ head: head(0), error: { code: "RUN_FAILED", category: "UNKNOWN", message: "bad" } });
    feed(1, 7);
    await settled();
    expect(answers()).toEqual(["0!RUN_FAILED", "1=7"]);
    expect(executed).toEqual([7]);
  });
  it("with a reset leaves initial state, as its replay does", async () => {
    const { begin, feed, answers, control } = bench();
    await begin();
    feed(0, 40);
    await settled();
    control.fail = error;
    feed(1, 1, { reset: true });
    await settled();
    control.fail = null;
    feed(2, 2);
    await settled();
    expect(answers().at(-1)).toBe("2=2");
  });
  it("is no durable point; the next run is", async () => {
    const { begin, feed, checkpoints, control } = bench();
    await begin();
    for (let run = 0; run < 16; run++) feed(run, 1);
    await settled();
    control.fail = error;
    feed(16, 1);
    await settled();
    control.fail = null;
    feed(17, 1);
    feed(18, 1);
    await settled();
    expect(checkpoints.map(({ run }) => run)).toEqual([0, 17]);
  });
  it("among several stages stops the stage until all are put back", async () => {
    const { stage, begin, feed, answers, control } = bench({ stopsAtFailure: true });
    await begin();
    feed(0, 1);
    await settled();
    control.fail = error;
    feed(1, 1);
    feed(2, 1);
    await settled();
    control.fail = null;
    expect(answers()).toEqual(["0=1", "1!RUN_FAILED"]);
    expect(await stage.sync()).toMatchObject({ run: null });
  });
  it("because the host is lost is not answered, and nothing is run any more", async () => {
    const { begin, feed, sent, control, executed } = bench();
    await begin();
    control.fail = new Error("device lost");
    control.fatal = true;
    feed(0, 1);
    await settled();
    control.fail = null;
    feed(0, 1);
    feed(1, 1);
    await settled();
    expect(sent).toEqual([]);
    expect(executed).toEqual([]);
  });
  it.each([[{}], [{ x: null }], [{ x: { dims: [1] } }], [{ x: { dims: 1, data: new Int32Array(1) } }]])(
    "because the page fed no tensors is the page's error: %j",
    async (malformed) => {
      const { stage, begin, answers } = bench();
      await begin();
      stage.receive({ head: head(0), tensors: malformed as unknown as WireTensors });
      await settled();
      expect(answers()).toEqual(["0!BAD_FEEDS"]);
    },
  );
});

describe("state that nobody kept", () => {
  it("fails runs that need it, until one starts from initial state", async () => {
    const { stage, feed, answers } = bench({ durable: false });
    stage.rewired();
    await stage.restore(4, "lost");
    stage.resend(5);
    feed(5, 1);
    feed(6, 2, { reset: true });
    feed(7, 3);
    await settled();
    expect(answers()).toEqual(["5!STATE_LOST", "6=2", "7=5"]);
  });
});
