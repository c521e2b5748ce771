import { HoldfastError } from "../../base/errors.ts";
import type { HostProfile } from "../host-profile.ts";
import { DEFAULT_HOST, fits, hopMs, stageMs } from "../stage-time.ts";
import { type Assignment, assign } from "./assign.ts";
import { ms } from "./balanced.ts";
import { minimax } from "./partition.ts";
import { type Choice, rangesOf, type StrategyInput } from "./strategy.ts";

const MB = 2 ** 20;
/** How many shards are tried where none were asked for. */
const SHARDS_TRIED_MAX = 64;

/**
 * The smallest period of the pipeline on hosts that differ: cuts, and which host takes which stage, such that each fits its host's
 * memory and buffers (dynamic programming, see `assign`).
 * @throws HoldfastError OUT_OF_MEMORY if nothing fits.
 */
export function hardwareAware(input: StrategyInput): Choice {
  const { model } = input;
  const hosts = input.hosts.length === 0 ? [DEFAULT_HOST] : input.hosts;
  const cost = (host: HostProfile, from: number, to: number): number =>
    stageMs(model, from, to, host) + hopMs(model, to, host);
  const found = assignHosts(input, hosts, (host) => JSON.stringify(host), cost);
  const ranges = rangesOf(found.cuts, model.count);
  const whys = ranges.map(([from, to], stage) => {
    const host = hosts[found.hosts[stage] ?? 0] ?? DEFAULT_HOST;
    const need = Math.ceil(model.needBytes(from, to) / MB);
    const room = host === DEFAULT_HOST ? `${need} MB` : `${need} of ${Math.round(host.memoryBytes / MB)} MB`;
    return `${ms(cost(host, from, to))} ms on ${host.browserType} (${host.provider}), ${room}`;
  });
  const reason = `each shard fits its host and the slowest of them takes ${ms(found.worst)} ms`;
  return { cuts: found.cuts, hosts: input.hosts.length === 0 ? null : found.hosts, reason, whys };
}

/** Cuts and hosts of the smallest period by a given cost. @throws HoldfastError OUT_OF_MEMORY if nothing fits. */
export function assignHosts(
  input: StrategyInput,
  hosts: readonly HostProfile[],
  kindOf: (host: HostProfile) => string,
  cost: (host: HostProfile, from: number, to: number) => number,
): Assignment {
  const { narrow, model, shards } = input;
  // The fastest first: where there are too many kinds to try, the last are left out.
  const order = hosts.map((_, i) => i).sort((a, b) => (hosts[b]?.flopsPerMs ?? 0) - (hosts[a]?.flopsPerMs ?? 0));
  const hostAt = (index: number): HostProfile => hosts[order[index] ?? 0] ?? DEFAULT_HOST;
  const found = assign({
    narrow,
    places: narrow.legal,
    count: model.count,
    shards,
    kinds: order.map((_, i) => kindOf(hostAt(i))),
    cost: (index, from, to) => {
      const host = hostAt(index);
      return fits(model, from, to, host) ? cost(host, from, to) : Number.POSITIVE_INFINITY;
    },
  });
  if (found === null) throw fitsNowhere(input);
  return { ...found, hosts: found.hosts.map((index) => order[index] ?? 0) };
}

/** The fewest shards with which a model fits the hosts; null if none do. */
export function fewestThatFit(input: StrategyInput): number | null {
  const most = Math.min(input.narrow.shardsFrom(0), SHARDS_TRIED_MAX);
  for (let shards = 1; shards <= Math.max(1, most); shards++) {
    const { narrow, model, hosts } = input;
    const isPossible = assign({
      narrow,
      places: narrow.places,
      count: model.count,
      shards,
      kinds: hosts.map((host) => `${host.memoryBytes} ${host.bufferBytesMax}`),
      cost: (index, from, to) => (fits(model, from, to, hosts[index] ?? DEFAULT_HOST) ? 1 : Number.POSITIVE_INFINITY),
    });
    if (isPossible !== null) return shards;
  }
  return null;
}

function fitsNowhere(input: StrategyInput): HoldfastError {
  const { narrow, model, shards, hosts } = input;
  const { hasWeights } = narrow;
  const task = { places: narrow.places, count: model.count, shards, hasWeights, cost: model.needBytes, price: () => 0 };
  const cuts = minimax(task) ?? [];
  const need = Math.max(...rangesOf(cuts, model.count).map(([from, to]) => model.needBytes(from, to)));
  const room = hosts.map((host) => `${Math.round(host.memoryBytes / MB)} MB`).join(", ");
  const largest = Math.ceil(model.largestBytes(0, model.count) / MB);
  const buffers = hosts.some((host) => host.bufferBytesMax !== null)
    ? ` or its largest tensor (${largest} MB) a buffer`
    : "";
  const fewest = fewestThatFit(input);
  const advice =
    fewest === null ? "use hosts with more memory" : `ask for ${fewest} shards or use hosts with more memory`;
  return new HoldfastError(
    "OUT_OF_MEMORY",
    `in ${shards} shards this model needs ${Math.ceil(need / MB)} MB in one host, which does not fit the hosts (${room})${buffers}: ${advice}`,
  );
}
