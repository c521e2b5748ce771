import { HoldfastError } from "../base/errors.ts";
import { closureOf } from "./closure.ts";
import type { Graph, GraphNode } from "./graph.ts";
import type { HostProfile } from "./host-profile.ts";
import type { ShardPlan, ShardSpec } from "./types.ts";

/** What a plan is held against; without them only its line of shards is checked. */
export interface PlanFacts {
  readonly graph: Graph;
  /** The nodes that run in one shard; all others are rebuilt where they are needed. */
  readonly nodes: readonly GraphNode[];
  readonly hosts: readonly HostProfile[];
}

/**
 * Checks that the shards form a linear pipeline from the feeds to the results in which every node runs once, every tensor is made
 * before it is needed, and every host has room for its shard.
 * @throws HoldfastError INTERNAL if the plan is broken, OUT_OF_MEMORY if a host is too small.
 */
export function validatePlan(plan: ShardPlan, facts?: PlanFacts): void {
  checkLine(plan);
  if (facts === undefined) return;
  checkNodes(plan, facts);
  checkHosts(plan, facts.hosts);
}

/** What one shard emits the next receives, from the feeds to the results; so no shard can need what a later one makes. */
function checkLine(plan: ShardPlan): void {
  const first = plan.shards[0];
  const last = plan.shards.at(-1);
  if (first === undefined || last === undefined) throw broken("it has no shards");
  if (plan.cuts.length !== plan.shards.length - 1) throw broken("cuts and shards do not match");
  if (plan.stages.length !== plan.shards.length) throw broken("stages and shards do not match");
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

/** Every node runs in exactly one shard, and finds there what it reads. */
function checkNodes(plan: ShardPlan, { graph, nodes }: PlanFacts): void {
  const homes = new Map<GraphNode, number>();
  const once = new Set(nodes);
  for (const shard of plan.shards) {
    const given = new Set([...shard.inputs, ...shard.state.map((binding) => binding.input.name)]);
    const closure = closureOf(graph, shard.outputs, given);
    for (const name of closure.sources) {
      if (!given.has(name)) throw broken(`shard ${shard.index} needs ${name}, which nothing makes before it`);
    }
    for (const node of closure.nodes) {
      if (!once.has(node)) continue;
      const home = homes.get(node);
      if (home !== undefined) throw broken(`${nameOf(node)} runs in shard ${home} and in shard ${shard.index}`);
      homes.set(node, shard.index);
    }
  }
  const homeless = nodes.find((node) => !homes.has(node));
  if (homeless !== undefined) throw broken(`${nameOf(homeless)} runs in no shard`);
}

function checkHosts(plan: ShardPlan, hosts: readonly HostProfile[]): void {
  for (const [stage, { host, needBytes, largestBytes }] of plan.stages.entries()) {
    if (host === null) continue;
    const profile = hosts[host.index];
    if (profile === undefined) throw broken(`shard ${stage} is for host ${host.index}, which is not among the hosts`);
    const limit = profile.bufferBytesMax ?? Number.POSITIVE_INFINITY;
    if (needBytes <= profile.memoryBytes && largestBytes <= limit) continue;
    const what = needBytes > profile.memoryBytes ? `needs ${mb(needBytes)}` : `has a tensor of ${mb(largestBytes)}`;
    const room = mb(needBytes > profile.memoryBytes ? profile.memoryBytes : limit);
    const message = `shard ${stage} ${what}, but host ${host.index} (${profile.browserType}) takes ${room}`;
    throw new HoldfastError("OUT_OF_MEMORY", `${message}: ask for more shards, or for the strategy hardware_aware`);
  }
}

function mb(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MB`;
}

function nameOf(node: GraphNode): string {
  return `node ${node.proto.name || node.proto.opType}`;
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
