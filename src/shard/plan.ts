import { HoldfastError } from "../base/errors.ts";
import { type BindingOption, findBindings } from "./bindings.ts";
import { closureOf } from "./closure.ts";
import { type CutSpace, cutSpace } from "./cuts.ts";
import { type Graph, graphOf } from "./graph.ts";
import { type NarrowCuts, narrowCuts, whyWhole } from "./narrow.ts";
import type { Skeleton } from "./skeleton.ts";
import { layerBased } from "./strategies/layer-based.ts";
import type { ShardingStrategy, ShardPlan, ShardSpec, StateBinding } from "./types.ts";
import { validatePlan } from "./validate.ts";
import { valueSpec } from "./values.ts";

export interface PlanOptions {
  /** How many shards; without it the model stays whole. */
  readonly shards?: number | undefined;
  readonly shardingStrategy?: ShardingStrategy | undefined;
  readonly bindings?: BindingOption | undefined;
}

/** Chooses the places of `shards - 1` cuts, ascending, among the narrow ones. */
type Strategy = (space: CutSpace, narrow: NarrowCuts, shards: number) => number[];
const STRATEGIES: Readonly<Partial<Record<ShardingStrategy, Strategy>>> = { layer_based: layerBased };

/**
 * Cuts a model into a linear pipeline of shards.
 * @throws HoldfastError TOO_MANY_SHARDS (its message names the most), BAD_OPTIONS, BAD_MODEL, UNSUPPORTED_OP.
 */
export function planShards(skeleton: Skeleton, options: PlanOptions = {}): ShardPlan {
  const { shards = 1, shardingStrategy: strategy = "layer_based" } = options;
  if (!Number.isInteger(shards) || shards < 1) {
    throw new HoldfastError("BAD_OPTIONS", `shards is ${shards}: give a whole number from 1 up`);
  }
  const choose = STRATEGIES[strategy];
  if (choose === undefined) {
    const known = Object.keys(STRATEGIES).join(", ");
    throw new HoldfastError("BAD_OPTIONS", `the sharding strategy ${strategy} is not available: use one of ${known}`);
  }
  const graph = graphOf(skeleton);
  const bindings = findBindings(graph, options.bindings);
  const space = cutSpace(graph, bindings);
  const narrow = narrowCuts(space);
  const shardsMax = Math.max(1, narrow.shardsFrom(0));
  if (shards > shardsMax) throw tooMany(shards, shardsMax, space);
  const cuts = choose(space, narrow, shards);
  const crossing = cuts.map((p) => space.crossing(p));
  const stateInputs = new Set(bindings.map((binding) => binding.input.name));
  const stateOutputs = new Set(bindings.map((binding) => binding.output));
  const feeds = graph.inputs.filter((value) => !stateInputs.has(value.name)).map(valueSpec);
  const results = graph.outputs.filter((value) => !stateOutputs.has(value.name)).map(valueSpec);
  const names = (values: readonly { name: string }[]): string[] => values.map((value) => value.name).sort();
  const links = [names(feeds), ...crossing, names(results)];
  const stages = stageOf(graph, space, cuts);
  const specs = Array.from({ length: shards }, (_, index) => {
    const own = bindings.filter((binding) => stages(binding.output) === index);
    return shardSpec(graph, index, links[index] ?? [], links[index + 1] ?? [], own);
  });
  const reason = reasonOf(options.shards, shardsMax, crossing, space);
  const plan = {
    strategy,
    reason,
    shards: specs,
    feeds,
    results,
    shardsMax,
    cuts: crossing.map((tensors) => ({ tensors })),
  };
  validatePlan(plan);
  return plan;
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
  const outputs = new Set([...emits.filter((name) => !arrived.has(name)), ...state.map((binding) => binding.output)]);
  const closure = closureOf(graph, [...outputs], new Set([...receives, ...stateInputs]));
  const inputs = [...closure.sources].filter((name) => arrived.has(name)).sort();
  const { ranges: weights, weightBytes } = closure;
  const own = { outputs: [...outputs].sort(), state, weights, weightBytes, nodes: closure.nodes.length };
  return { index, receives, emits, inputs, ...own };
}

function reasonOf(
  asked: number | undefined,
  most: number,
  crossing: readonly (readonly string[])[],
  space: CutSpace,
): string {
  if (crossing.length > 0) {
    const tensors = crossing.map((names) => names.length).join(", ");
    return `${crossing.length + 1} shards as asked for, cut between layers where ${tensors} tensors cross (up to ${most} are possible).`;
  }
  if (most === 1) return `The model runs whole: ${whyWhole(space)}.`;
  const why = asked === undefined ? "no number of shards was asked for" : "one shard was asked for";
  return `The model runs whole: ${why} (up to ${most} are possible).`;
}

function tooMany(asked: number, most: number, space: CutSpace): HoldfastError {
  const why = most === 1 ? ` because ${whyWhole(space)}` : "";
  const message = `${asked} shards were asked for, but this model can be cut into at most ${most}${why}: ask for ${most} or fewer`;
  return new HoldfastError("TOO_MANY_SHARDS", message);
}
