import type { CostModel } from "./cost-model.ts";
import type { HostProfile } from "./host-profile.ts";
import { sumsBefore } from "./range.ts";
import { fixedMs, stageMs } from "./stage-time.ts";
import { rangesOf } from "./strategies/strategy.ts";

/** What an earlier plan of the same model took. */
export interface Measurement {
  /** `cuts[].place` of that plan. */
  readonly places: readonly number[];
  /** Milliseconds of each stage, sending not included; null: not measured. */
  readonly stageMs: readonly (number | null)[];
  /** The host of each stage. */
  readonly hosts: readonly HostProfile[];
}

/** One measurement never makes a stage's nodes more than this many times as costly, or as cheap. */
const FACTOR_MAX = 20;

/**
 * The cost model with each node as costly as the measured stages say: all nodes of a stage by the same factor, so that the old plan
 * is predicted as it was measured, and new cuts share out what is known. A measurement of another number of stages changes nothing.
 */
export function calibrate(model: CostModel, { places, stageMs: measured, hosts }: Measurement): CostModel {
  const isUsable = measured.length === places.length + 1 && hosts.length === measured.length;
  const isAscending = places.every((p, i) => p > (places[i - 1] ?? 0) && p < model.count);
  if (!isUsable || !isAscending) return model;
  const factors = new Float64Array(model.count).fill(1);
  for (const [stage, [from, to]] of rangesOf(places, model.count).entries()) {
    const [taken, host] = [measured[stage], hosts[stage]];
    if (taken == null || !(taken > 0) || host === undefined) continue;
    const factor = Math.max(0, taken - fixedMs()) / Math.max(1e-9, stageMs(model, from, to, host) - fixedMs());
    factors.fill(Math.min(FACTOR_MAX, Math.max(1 / FACTOR_MAX, factor)), from, to);
  }
  const works = Array.from({ length: model.count }, (_, place) => model.work(place, place + 1));
  const scaled = (of: (work: (typeof works)[number]) => number): Float64Array =>
    sumsBefore(works.map((work, place) => of(work) * (factors[place] ?? 1)));
  const sums = { flops: scaled((w) => w.flops), bytes: scaled((w) => w.bytes), nodes: scaled((w) => w.nodes) };
  const between = (all: Float64Array, from: number, to: number): number => (all[to] ?? 0) - (all[from] ?? 0);
  return {
    ...model,
    work: (from, to) => ({
      flops: between(sums.flops, from, to),
      bytes: between(sums.bytes, from, to),
      nodes: between(sums.nodes, from, to),
    }),
  };
}
