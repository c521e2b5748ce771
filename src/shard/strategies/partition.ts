import type { NarrowCuts } from "../narrow.ts";

/** Places of cuts, ascending; those of one plan. */
export type Cuts = number[];

export interface Partition {
  /** Where cuts may be made, ascending. */
  readonly places: readonly number[];
  /** Where the last shard ends. */
  readonly count: number;
  readonly shards: number;
  /** Whether a shard of the nodes [from, to) has weights. */
  readonly hasWeights: (from: number, to: number) => boolean;
  /** What the shard of the nodes [from, to) costs, with what it sends; Infinity: it must not be. */
  readonly cost: (from: number, to: number) => number;
  /** Among the plans whose costliest shard is the cheapest, the one with the least sum of these is taken. */
  readonly price: (from: number, to: number) => number;
}

/** Steps that one search may take; above, only places near an even share are looked at. */
const STEPS_MAX = 3_000_000;

/**
 * Cuts that make the costliest shard as cheap as can be (dynamic programming over all places: optimal), and among those the
 * cheapest in sum; null if every way has a shard that must not be.
 */
export function minimax(partition: Partition): Cuts | null {
  const largest = table(partition, Number.POSITIVE_INFINITY, Math.max, partition.cost);
  const bound = largest.best;
  if (bound === Number.POSITIVE_INFINITY) return null;
  const least = table(partition, bound * (1 + 1e-9), (a, b) => a + b, partition.price);
  return least.cuts;
}

/** Cuts whose shards cost least in sum; null if there are none. */
export function minisum(partition: Omit<Partition, "price">): Cuts | null {
  const whole = { ...partition, price: partition.cost };
  const { best, cuts } = table(whole, Number.POSITIVE_INFINITY, (a, b) => a + b, whole.price);
  return best === Number.POSITIVE_INFINITY ? null : cuts;
}

function table(
  { places, count, shards, hasWeights, cost }: Partition,
  costMax: number,
  join: (before: number, own: number) => number,
  amount: (from: number, to: number) => number,
): { best: number; cuts: Cuts } {
  const ends = [0, ...places, count];
  if (shards === ends.length - 1) {
    const costs = places
      .concat(count)
      .map((to, i) => (hasWeights(ends[i] ?? 0, to) ? cost(ends[i] ?? 0, to) : Number.POSITIVE_INFINITY));
    return { best: costs.reduce(join, 0), cuts: [...places] };
  }
  const last = ends.length - 1;
  let before = new Float64Array(ends.length).fill(Number.POSITIVE_INFINITY);
  before[0] = 0;
  const from: Int32Array[] = [];
  for (let shard = 1; shard <= shards; shard++) {
    const now = new Float64Array(ends.length).fill(Number.POSITIVE_INFINITY);
    const back = new Int32Array(ends.length).fill(-1);
    for (let to = shard === shards ? last : shard; to <= (shard === shards ? last : last - 1); to++) {
      for (let start = to - 1; start >= shard - 1; start--) {
        const sum = before[start] ?? Number.POSITIVE_INFINITY;
        if (sum === Number.POSITIVE_INFINITY) continue;
        const [a, b] = [ends[start] ?? 0, ends[to] ?? count];
        if (!hasWeights(a, b) || (costMax !== Number.POSITIVE_INFINITY && cost(a, b) > costMax)) continue;
        const value = join(sum, amount(a, b));
        if (value >= (now[to] ?? Number.POSITIVE_INFINITY)) continue;
        now[to] = value;
        back[to] = start;
      }
    }
    from.push(back);
    before = now;
  }
  const cuts: Cuts = [];
  for (let shard = shards - 1, at = last; shard > 0; shard--) {
    at = from[shard]?.[at] ?? -1;
    cuts.unshift(ends[at] ?? -1);
  }
  return { best: before[last] ?? Number.POSITIVE_INFINITY, cuts };
}

/**
 * The places that a search of `shards × variants` tables can afford: all, or those nearest to the even shares of the work. Every
 * number of shards that `narrow` allows stays possible.
 */
export function affordable(
  narrow: NarrowCuts,
  places: readonly number[],
  shards: number,
  variants = 1,
): readonly number[] {
  const most = Math.floor(Math.sqrt((2 * STEPS_MAX) / Math.max(1, shards * variants)));
  if (places.length <= most) return places;
  const kept = new Set(evenCuts(narrow, shards));
  if (kept.size * 2 > most) return [...kept];
  const each = Math.max(1, Math.floor((most - kept.size) / shards));
  for (const cut of [...kept]) {
    const middle = places.findIndex((p) => p >= cut);
    const first = Math.max(0, middle - Math.floor(each / 2));
    for (const p of places.slice(first, first + each)) kept.add(p);
  }
  return [...kept].sort((a, b) => a - b);
}

/** One pass from the front: each cut is the narrow place nearest to an even share of the work that is left. */
export function evenCuts(narrow: NarrowCuts, shards: number, widthPenalty: (p: number) => number = () => 0): Cuts {
  const cuts: Cuts = [];
  let from = 0;
  for (let left = shards; left > 1; left--) {
    const start = narrow.workBefore(from);
    const share = (narrow.work - start) / left;
    let best = -1;
    let bestPenalty = Number.POSITIVE_INFINITY;
    for (const p of narrow.places) {
      if (p <= from || !narrow.hasWeights(from, p) || narrow.shardsFrom(p) < left - 1) continue;
      const penalty = Math.abs(narrow.workBefore(p) - start - share) / share + widthPenalty(p);
      if (penalty >= bestPenalty) continue;
      best = p;
      bestPenalty = penalty;
    }
    cuts.push(best);
    from = best;
  }
  return cuts;
}
