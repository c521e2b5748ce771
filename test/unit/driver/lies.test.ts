import { afterAll, beforeAll, expect, it } from "vitest";
import type { WireTensor, WireTensors } from "../../../src/base/tensor.ts";
import { onnxModel } from "./world/onnx-model.ts";
import { World } from "./world/world.ts";

// moby-llama in real onnxruntime, in two stages: hosts give one wrong bit, in an output or only in the rows of their KV cache.

const STAGES = 2;
const LIES = 100;
/** Runs of one sequence; each lie is told in one of them. */
const RUNS = 4;

let model: Awaited<ReturnType<typeof onnxModel>>;
beforeAll(async () => {
  model = await onnxModel("moby", STAGES);
}, 60_000);
afterAll(() => model.close());

const int64 = (values: readonly number[]): WireTensor => {
  return { type: "int64", dims: [1, values.length], data: BigInt64Array.from(values, BigInt) };
};

/** The decoder's inputs for one more token, after `past` others. */
function feedsOf(id: number, past: number): WireTensors {
  const attention_mask = int64(Array.from({ length: past + 1 }, () => 1));
  return { input_ids: int64([id]), attention_mask, position_ids: int64([past]) };
}

/** The logits' bytes of a sequence of runs, each told as it is asked for. */
async function sequence(world: World, before: (run: number) => void = () => undefined): Promise<string[]> {
  const logits: string[] = [];
  for (let run = 0; run < RUNS; run++) {
    before(run);
    const outputs = await world.session.run(feedsOf(100 + run, run), { reset: run === 0 });
    const { data } = outputs["logits"] as unknown as { readonly data: Float32Array };
    logits.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"));
  }
  return logits;
}

it(`level critical: of ${LIES} lies ${LIES} are caught, and none gets any further`, async () => {
  const world = new World(11, { stages: STAGES, model, level: "critical" });
  await world.open();
  const undisturbed = await sequence(world);
  const told: number[] = [];
  for (let lie = 0; lie < LIES; lie++) {
    const at = world.random.below(RUNS);
    const logits = await sequence(world, (run) => {
      if (run === at) told.push(world.lie());
    });
    expect(logits, `lie ${lie}`).toEqual(undisturbed);
    await world.whole();
    // Its successor votes. What a host gets wrong while all are put back is made anew before anybody asks for it.
    expect(await sequence(world)).toEqual(undisturbed);
  }
  expect(world.outvoted.map(({ row }) => row)).toEqual(told);
  world.close();
}, 120_000);

it(`level high, a quarter of all runs checked: of ${LIES} lies 15 to 35 are caught, and each of those is repaired`, async () => {
  const world = new World(12, { stages: STAGES, model, level: "high", spotCheck: 0.25 });
  await world.open();
  const undisturbed = await sequence(world);
  let caught = 0;
  for (let lie = 0; lie < LIES; lie++) {
    const at = world.random.below(RUNS);
    const liar = world.random.below(STAGES);
    const before = world.outvoted.length;
    const logits = await sequence(world, (run) => {
      if (run === at) world.lie(liar);
    });
    await world.whole();
    const told = world.outvoted.slice(before);
    if (told.length === 0) continue;
    caught++;
    expect(told.map(({ row }) => row)).toEqual([liar]);
    expect(logits, `lie ${lie}`).toEqual(undisturbed);
  }
  expect(caught).toBeGreaterThanOrEqual(15);
  expect(caught).toBeLessThanOrEqual(35);
  world.close();
}, 120_000);
