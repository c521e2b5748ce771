import { describe, expect, it } from "vitest";
import type { WireTensors } from "../../../src/base/tensor.ts";
import { Stage } from "../../../src/host/stage.ts";
import type { StageMessage } from "../../../src/protocol/stage.ts";
import type { ShardSpec } from "../../../src/shard/types.ts";

const STAGES = 3;
const RUNS = 6;

/** Stage i adds 10^i to what arrives; each execution waits until the test lets it end. */
function spec(index: number): ShardSpec {
  const names = {
    receives: [`t${index}`],
    emits: [`t${index + 1}`],
    inputs: [`t${index}`],
    outputs: [`t${index + 1}`],
  };
  return { index, ...names, state: [], weights: [], weightBytes: 0, nodes: 1 };
}

const int = (value: number) => ({ type: "int32", dims: [1], data: Int32Array.of(value) }) as const;
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
};

async function line() {
  const answers: number[] = [];
  const under = Array.from({ length: STAGES }, () => [] as { run: number; end(): void }[]);
  const stages: Stage[] = [];
  for (let index = STAGES - 1; index >= 0; index--) {
    let run = -1;
    stages[index] = new Stage(
      {
        execute: (inputs: WireTensors) =>
          new Promise((resolve) => {
            const made = { [`t${index + 1}`]: int(Number(inputs[`t${index}`]?.data[0]) + 10 ** index) };
            under[index]?.push({ run: ++run, end: () => resolve(made) });
          }),
        send: (message: StageMessage) => {
          if (index + 1 < STAGES) stages[index + 1]?.receive(message);
          else if ("tensors" in message) answers.push(Number(message.tensors[`t${STAGES}`]?.data[0]));
        },
        checkpoint: () => undefined,
        records: async () => [],
        forgetAfter: async () => undefined,
        fatal: () => false,
        runStarted: () => undefined,
        runEnded: () => undefined,
        hold: async () => undefined,
      },
      spec(index),
      { durable: true, stored: [], stateful: false, stopsAtFailure: false, last: true },
    );
  }
  for (const stage of stages) {
    stage.rewired();
    await stage.sync();
    await stage.restore(-1, "initial");
    stage.resend(0);
  }
  /** The run that each stage works on, null where it has nothing to do. */
  const working = () => under.map((jobs) => jobs[0]?.run ?? null);
  const endAll = async () => {
    for (const jobs of under.map((own) => own.splice(0, 1))) for (const job of jobs) job.end();
    await settled();
  };
  return { stages, answers, working, endAll };
}

describe("runs of one session in a pipeline", () => {
  it("keep every stage busy, each with a run of its own, and end in order", async () => {
    const { stages, answers, working, endAll } = await line();
    for (let run = 0; run < RUNS; run++)
      stages[0]?.receive({
        head: { run, reset: run === 0, checkpoint: false, safe: -1, reply: "page" },
        tensors: { t0: int(1000 * run) },
      });
    await settled();
    const seen = [working()];
    for (let step = 0; step < RUNS + STAGES - 1; step++) {
      await endAll();
      seen.push(working());
    }
    expect(seen).toEqual([
      [0, null, null],
      [1, 0, null],
      [2, 1, 0],
      [3, 2, 1],
      [4, 3, 2],
      [5, 4, 3],
      [null, 5, 4],
      [null, null, 5],
      [null, null, null],
    ]);
    expect(answers).toEqual(Array.from({ length: RUNS }, (_, run) => 1000 * run + 111));
  });
});
