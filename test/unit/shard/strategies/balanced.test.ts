import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findBindings } from "../../../../src/shard/bindings.ts";
import { costModel } from "../../../../src/shard/cost-model.ts";
import { cutSpace } from "../../../../src/shard/cuts.ts";
import { graphOf } from "../../../../src/shard/graph.ts";
import { narrowCuts } from "../../../../src/shard/narrow.ts";
import { planShards } from "../../../../src/shard/plan.ts";
import { readSkeleton } from "../../../../src/shard/skeleton.ts";
import { DEFAULT_HOST, hopMs, stageMs } from "../../../../src/shard/stage-time.ts";
import { rangesOf } from "../../../../src/shard/strategies/strategy.ts";
import { floats, model, type Node, node, type Tensor } from "../build.ts";
import { fileOf, modelFiles, readerOf } from "../models.ts";
import { hostOf } from "./uneven.ts";

/** A chain of layers of any widths, some with a skip over the next one. */
function chain(widths: readonly number[], skips: readonly boolean[]): Uint8Array {
  const nodes: Node[] = [];
  const weights: Tensor[] = [];
  let x = "x";
  let skip: string | null = null;
  for (const [i, width] of widths.entries()) {
    weights.push(floats(`u${i}`, [8, width * 32]), floats(`d${i}`, [width * 32, 8]));
    nodes.push(
      node("MatMul", `${x} u${i}`, `a${i}`),
      node("Tanh", `a${i}`, `b${i}`),
      node("MatMul", `b${i} d${i}`, `c${i}`),
    );
    const before = x;
    if (skip === null) {
      x = `c${i}`;
    } else {
      nodes.push(node("Add", `c${i} ${skip}`, `s${i}`));
      x = `s${i}`;
    }
    skip = skips[i] === true ? before : null;
  }
  nodes.push(node("Identity", x, "y"));
  return model({ inputs: ["x:float:4,8"], outputs: ["y:float"], nodes, weights });
}

/** All ways of choosing `count` of the places, ascending. */
function* choices(places: readonly number[], count: number): Generator<number[]> {
  if (count === 0) yield [];
  for (const [i, p] of places.entries())
    if (count > 0) for (const rest of choices(places.slice(i + 1), count - 1)) yield [p, ...rest];
}

it("balanced is as good as the best of all cuts", () => {
  const layers = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.boolean()), { minLength: 2, maxLength: 7 });
  fc.assert(
    fc.property(
      layers,
      fc.integer({ min: 2, max: 4 }),
      fc.double({ min: 0.01, max: 5, noNaN: true }),
      (rows, asked, speed) => {
        const bytes = chain(
          rows.map(([width]) => width),
          rows.map(([, skip]) => skip),
        );
        const skeleton = readSkeleton(readerOf(bytes));
        const host = hostOf("chrome", speed);
        const graph = graphOf(skeleton);
        const space = cutSpace(graph, []);
        const narrow = narrowCuts(space);
        const costs = costModel(graph, space, []);
        const shards = Math.min(asked, narrow.shardsFrom(0));
        const slowest = (cuts: readonly number[]): number =>
          Math.max(...rangesOf(cuts, costs.count).map(([a, b]) => stageMs(costs, a, b, host) + hopMs(costs, b, host)));
        const all = [...choices(narrow.legal, shards - 1)].filter((cuts) =>
          rangesOf(cuts, costs.count).every(([a, b]) => narrow.hasWeights(a, b)),
        );
        const best = Math.min(...all.map(slowest));
        for (const shardingStrategy of ["balanced", "hardware_aware"] as const) {
          const plan = planShards(skeleton, { shards, shardingStrategy, hosts: [host, host, host, host] });
          expect(slowest(plan.cuts.map((cut) => cut.place))).toBeCloseTo(best, 9);
        }
      },
    ),
    { numRuns: 60, seed: 3 },
  );
});

describe("balanced on moby-llama", () => {
  const skeleton = readSkeleton(readerOf(fileOf(modelFiles("moby"), "")));
  const graph = graphOf(skeleton);
  const bindings = findBindings(graph);
  const space = cutSpace(graph, bindings);
  const costs = costModel(graph, space, bindings);
  const fixedMs = stageMs(costs, 0, 0, DEFAULT_HOST);
  const work = stageMs(costs, 0, costs.count, DEFAULT_HOST) - fixedMs;
  const hopLeastMs = Math.min(...narrowCuts(space).legal.map((p) => hopMs(costs, p, DEFAULT_HOST)));

  it.each([2, 3, 4, 5, 6])("K = %i: the slowest stage is at most 1.1 × a bound that no plan can beat", (shards) => {
    const { stages } = planShards(skeleton, { shards, shardingStrategy: "balanced" });
    const bound = work / shards + fixedMs + hopLeastMs;
    expect(Math.max(...stages.map((stage) => stage.estimatedMs + stage.hopMs)) / bound).toBeLessThanOrEqual(1.1);
    // Without the sending, which is most of it here: the cuts that are legal leave a little more.
    const slowest = Math.max(...stages.map((stage) => stage.estimatedMs));
    expect(slowest / (work / shards + fixedMs)).toBeLessThanOrEqual(1.15);
  });
});
