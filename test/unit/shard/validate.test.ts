import { describe, expect, it } from "vitest";
import { findBindings } from "../../../src/shard/bindings.ts";
import { cutSpace } from "../../../src/shard/cuts.ts";
import { graphOf } from "../../../src/shard/graph.ts";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import type { ShardPlan, ShardSpec } from "../../../src/shard/types.ts";
import { validatePlan } from "../../../src/shard/validate.ts";
import { fileOf, modelFiles, readerOf } from "./models.ts";
import { hostOf, unevenModel } from "./strategies/uneven.ts";

const skeleton = readSkeleton(readerOf(fileOf(modelFiles("moby"), "")));
const graph = graphOf(skeleton);
const hosts = [hostOf("chrome", 1), hostOf("edge", 1), hostOf("firefox", 1)];
const facts = { graph, nodes: cutSpace(graph, findBindings(graph)).nodes, hosts };
const good = planShards(skeleton, { shards: 3, hosts });

function withShard(index: number, change: (shard: ShardSpec) => Partial<ShardSpec>, plan = good): ShardPlan {
  return { ...plan, shards: plan.shards.map((shard, i) => (i === index ? { ...shard, ...change(shard) } : shard)) };
}
const without = (names: readonly string[], name: string): string[] => names.filter((other) => other !== name);
const hidden = good.cuts[0]?.tensors.find((name) => name.includes("layers")) ?? "";
const other = graph.nodes.find((node) => node.proto.opType === "MatMul")?.outputs[0] ?? "";

const FIRST = good.shards[0] as ShardSpec;

describe("a plan that is broken on purpose", () => {
  it.each<[string, ShardPlan, RegExp]>([
    ["has no shards", { ...good, shards: [], stages: [], cuts: [] }, /no shards/],
    ["has a cut too few", { ...good, cuts: good.cuts.slice(1) }, /cuts and shards do not match/],
    ["has an estimate too few", { ...good, stages: good.stages.slice(1) }, /stages and shards do not match/],
    ["numbers its shards wrongly", withShard(1, () => ({ index: 2 })), /shard 1 has index 2/],
    ["does not take the feeds", withShard(0, () => ({ receives: [] })), /does not receive the feeds/],
    ["gives no results", withShard(2, () => ({ emits: [] })), /does not emit the results/],
    [
      "loses a tensor on the way",
      withShard(0, ({ emits }) => ({ emits: without(emits, hidden) })),
      /receives what 0 does not emit/,
    ],
    [
      "emits what it has not",
      withShard(1, ({ outputs }) => ({ outputs: outputs.slice(1) })),
      /neither makes nor receives|does not make its state/,
    ],
    [
      "reads what it does not receive",
      withShard(1, ({ inputs }) => ({ inputs: [...inputs, "nowhere"] })),
      /does not receive/,
    ],
    [
      "needs what nothing made",
      withShard(1, ({ inputs }) => ({ inputs: without(inputs, hidden) })),
      /needs|runs in shard 0 and in shard 1/,
    ],
    [
      "makes a middle tensor in two shards",
      withShard(2, ({ outputs }) => ({ outputs: [...outputs, other] })),
      /needs \S+, which nothing makes|runs in shard/,
    ],
    [
      "keeps a state twice",
      withShard(2, ({ state, outputs }) => ({
        state: [...state, ...FIRST.state],
        outputs: [...outputs, ...FIRST.state.map((s) => s.output)],
      })),
      /in two shards/,
    ],
    [
      "names a weight twice",
      withShard(1, ({ weights }) => ({ weights: [...weights, ...weights.slice(0, 1)] })),
      /names a weight twice/,
    ],
    [
      "goes to a host that is not there",
      { ...good, stages: good.stages.map((stage) => ({ ...stage, host: { index: 7, browserType: "chrome" } })) },
      /host 7, which is not among/,
    ],
  ])("%s", (_, plan, message) => {
    expect(() => validatePlan(plan, facts)).toThrow(message);
    expect(() => validatePlan(plan, facts)).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  });

  it("runs nodes in two shards, or in none", () => {
    const own = readSkeleton(readerOf(unevenModel()));
    const plan = planShards(own, { shards: 3 });
    const nodes = cutSpace(graphOf(own), []).nodes;
    const middle = plan.cuts[0]?.tensors[0] ?? "";
    const twice = withShard(1, () => ({ inputs: ["input_ids"], receives: ["input_ids"] }), plan);
    const again = withShard(0, () => ({ emits: ["input_ids"], outputs: [middle] }), twice);
    expect(() => validatePlan(again, { graph: graphOf(own), nodes, hosts: [] })).toThrow(
      /runs in shard 0 and in shard 1/,
    );
    const foreign = { graph: graphOf(own), nodes: [...nodes, ...facts.nodes], hosts: [] };
    expect(() => validatePlan(plan, foreign)).toThrow(/runs in no shard/);
  });

  it("overfills a host", () => {
    const small = hosts.map((host) => ({ ...host, memoryBytes: 2 ** 20 }));
    const buffers = hosts.map((host) => ({ ...host, bufferBytesMax: 1000 }));
    const outOfMemory = expect.objectContaining({ code: "OUT_OF_MEMORY" });
    expect(() => validatePlan(good, { ...facts, hosts: small })).toThrow(outOfMemory);
    expect(() => validatePlan(good, { ...facts, hosts: small })).toThrow(
      /shard 0 needs \d MB, but host 0 \(chrome\) takes 1 MB/,
    );
    expect(() => validatePlan(good, { ...facts, hosts: buffers })).toThrow(/has a tensor of 2 MB/);
  });

  it("is none of those that the planner makes", () => {
    expect(() => validatePlan(good, facts)).not.toThrow();
  });
});
