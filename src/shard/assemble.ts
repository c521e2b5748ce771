import { type Closure, closureOf } from "./closure.ts";
import type { CostModel } from "./cost-model.ts";
import type { CutSpace } from "./cuts.ts";
import type { Graph } from "./graph.ts";
import type { HostProfile } from "./host-profile.ts";
import { hopMs, meanHost, stageMs } from "./stage-time.ts";
import { type Choice, rangesOf } from "./strategies/strategy.ts";
import type { ShardPlan, ShardSpec, ShardWeight, StageEstimate, StateBinding } from "./types.ts";
import { valueSpec } from "./values.ts";

/** The parts of a plan that follow from its cuts: the shards in their line, and what crosses between them. */
export function assemble(
  graph: Graph,
  space: CutSpace,
  bindings: readonly StateBinding[],
  model: CostModel,
  cuts: readonly number[],
): Pick<ShardPlan, "shards" | "feeds" | "results" | "cuts"> {
  const crossing = cuts.map((p) => space.crossing(p));
  const stateInputs = new Set(bindings.map((binding) => binding.input.name));
  const stateOutputs = new Set(bindings.map((binding) => binding.output));
  const feeds = graph.inputs.filter((value) => !stateInputs.has(value.name)).map(valueSpec);
  const results = graph.outputs.filter((value) => !stateOutputs.has(value.name)).map(valueSpec);
  const names = (values: readonly { name: string }[]): string[] => values.map((value) => value.name).sort();
  const links = [names(feeds), ...crossing, names(results)];
  const stages = stageOf(graph, space, cuts);
  const shards = Array.from({ length: cuts.length + 1 }, (_, index) => {
    const own = bindings.filter((binding) => stages(binding.output) === index);
    return shardSpec(graph, index, links[index] ?? [], links[index + 1] ?? [], own);
  });
  const planCuts = crossing.map((tensors, i) => ({
    place: cuts[i] ?? 0,
    tensors,
    sizes: tensors.map((name) => model.sizes.bytes(name)),
  }));
  return { shards, feeds, results, cuts: planCuts };
}

/** What each stage of a choice is expected to weigh and to take. */
export function estimates(
  model: CostModel,
  choice: Choice,
  hosts: readonly HostProfile[],
  shards: readonly ShardSpec[],
): StageEstimate[] {
  return rangesOf(choice.cuts, model.count).map(([from, to], stage) => {
    const index = hosts.length === 0 ? null : (choice.hosts?.[stage] ?? stage % hosts.length);
    const host = index === null ? undefined : hosts[index];
    const profile = host ?? meanHost(hosts);
    return {
      weightBytes: shards[stage]?.weightBytes ?? 0,
      needBytes: Math.ceil(model.needBytes(from, to)),
      largestBytes: model.largestBytes(from, to),
      estimatedMs: stageMs(model, from, to, profile),
      hopMs: hopMs(model, to, profile),
      host: host === undefined || index === null ? null : { index, browserType: host.browserType },
      why: choice.whys[stage] ?? "",
    };
  });
}

/** The shard that makes a state's output. */
function stageOf(graph: Graph, space: CutSpace, cuts: readonly number[]): (output: string) => number {
  const places = new Map(space.nodes.map((node, place) => [node, place]));
  return (output) => {
    const writer = graph.producers.get(output);
    const place = writer === undefined ? 0 : (places.get(writer) ?? 0);
    return cuts.filter((p) => p <= place).length;
  };
}

function shardSpec(
  graph: Graph,
  index: number,
  receives: readonly string[],
  emits: readonly string[],
  state: readonly StateBinding[],
): ShardSpec {
  const stateInputs = state.map((binding) => binding.input.name);
  const arrived = new Set(receives);
  const tell = state.flatMap(({ written }) => written ?? []);
  const told = tell.map(({ lengths }) => lengths);
  const outputs = new Set([
    ...[...emits, ...told].filter((name) => !arrived.has(name)),
    ...state.map((binding) => binding.output),
  ]);
  const shapes = [...new Set(tell.map(({ attended }) => attended))];
  const closure = closureOf(graph, [...outputs], new Set([...receives, ...stateInputs]));
  const inputs = [...closure.sources].filter((name) => arrived.has(name)).sort();
  const weights = weightsOf(closure);
  const { weightBytes } = closure;
  const own = { outputs: [...outputs].sort(), state, weights, weightBytes, nodes: closure.nodes.length };
  return { index, receives, emits, inputs, ...own, ...(shapes.length > 0 && { shapes }) };
}

function weightsOf({ nodes, constants, ranges }: Closure): ShardWeight[] {
  const [once, again] = [new Set<string>(), new Set<string>()];
  for (const node of nodes) for (const name of node.inputs) (once.has(name) ? again : once).add(name);
  const unshared = new Set(constants.filter(({ name }) => !again.has(name)).map(({ range }) => range?.path));
  // Those of bodies are no constants of the graph: a body may be looked at as often as its node.
  return ranges.map((range) => (unshared.has(range.path) ? range : { ...range, isShared: true }));
}
