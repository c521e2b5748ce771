import { HoldfastError } from "../base/errors.ts";
import type { ShardPlan, ShardSpec } from "./types.ts";

/** Checks that the shards form a linear pipeline from the feeds to the results. @throws HoldfastError INTERNAL if they do not. */
export function validatePlan(plan: ShardPlan): void {
  const first = plan.shards[0];
  const last = plan.shards.at(-1);
  if (first === undefined || last === undefined) throw broken("it has no shards");
  if (plan.cuts.length !== plan.shards.length - 1) throw broken("cuts and shards do not match");
  if (!sameNames(first.receives, namesOf(plan.feeds))) throw broken("shard 0 does not receive the feeds");
  if (!sameNames(last.emits, namesOf(plan.results))) throw broken("the last shard does not emit the results");
  const states = new Set<string>();
  for (const [index, shard] of plan.shards.entries()) {
    if (shard.index !== index) throw broken(`shard ${index} has index ${shard.index}`);
    const next = plan.shards[index + 1];
    if (next !== undefined && !sameNames(shard.emits, next.receives))
      throw broken(`shard ${index + 1} receives what ${index} does not emit`);
    checkShard(shard);
    for (const { input } of shard.state) {
      if (states.has(input.name)) throw broken(`the state ${input.name} is in two shards`);
      states.add(input.name);
    }
  }
}

function checkShard(shard: ShardSpec): void {
  const received = new Set(shard.receives);
  const made = new Set(shard.outputs);
  const unmade = shard.emits.find((name) => !received.has(name) && !made.has(name));
  if (unmade !== undefined) throw broken(`shard ${shard.index} emits ${unmade}, which it neither makes nor receives`);
  const absent = shard.inputs.find((name) => !received.has(name));
  if (absent !== undefined) throw broken(`shard ${shard.index} reads ${absent}, which it does not receive`);
  const state = shard.state.find((binding) => !made.has(binding.output));
  if (state !== undefined) throw broken(`shard ${shard.index} does not make its state ${state.output}`);
  if (new Set(shard.weights.map((weight) => weight.path)).size < shard.weights.length) {
    throw broken(`shard ${shard.index} names a weight twice`);
  }
}

function namesOf(values: readonly { readonly name: string }[]): string[] {
  return values.map((value) => value.name);
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.toSorted().join("\n") === b.toSorted().join("\n");
}

function broken(message: string): HoldfastError {
  return new HoldfastError("INTERNAL", `the plan is broken: ${message}`);
}
