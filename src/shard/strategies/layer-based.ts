import type { CutSpace } from "../cuts.ts";
import { IMBALANCE_PER_TENSOR } from "../limits.ts";
import type { NarrowCuts } from "../narrow.ts";

/**
 * Cuts between layers: near each point where the work is shared evenly, the narrowest cut. Every shard has weights.
 * `shards` is at most `narrow.shardsFrom(0)`.
 */
export function layerBased(space: CutSpace, narrow: NarrowCuts, shards: number): number[] {
  const cuts: number[] = [];
  let from = 0;
  for (let left = shards; left > 1; left--) {
    const start = narrow.workBefore(from);
    const share = (narrow.work - start) / left;
    let best = -1;
    let bestPenalty = Number.POSITIVE_INFINITY;
    for (const p of narrow.places) {
      if (p <= from || !narrow.hasWeights(from, p) || narrow.shardsFrom(p) < left - 1) continue;
      const penalty = Math.abs(narrow.workBefore(p) - start - share) / share + space.width(p) * IMBALANCE_PER_TENSOR;
      if (penalty >= bestPenalty) continue;
      best = p;
      bestPenalty = penalty;
    }
    cuts.push(best);
    from = best;
  }
  return cuts;
}
