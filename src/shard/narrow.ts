import type { CutSpace, Obstacle } from "./cuts.ts";

/** The cuts worth making: legal ones, no wider than the narrowest near the middle of the work. */
export interface NarrowCuts {
  /** Ascending. */
  readonly places: readonly number[];
  /** All legal cuts, wide ones too: for plans that weigh a wide cut against an uneven one. Ascending; holds `places`. */
  readonly legal: readonly number[];
  /** The most shards with weights of their own that nodes[from...] can be cut into; 0 if they hold no weights. */
  readonly shardsFrom: (from: number) => number;
  /** Work before cut p. */
  readonly workBefore: (p: number) => number;
  readonly work: number;
  /** Whether nodes[from...to - 1] hold weights. */
  readonly hasWeights: (from: number, to: number) => boolean;
}

/** Where "the middle" of the work is, for the width that a model's cuts need. */
const MIDDLE = [0.25, 0.75] as const;

export function narrowCuts(space: CutSpace): NarrowCuts {
  const count = space.nodes.length;
  const before = new Float64Array(count + 1);
  const weighty = new Int32Array(count + 1);
  for (const [i, { cost, hasWeights }] of space.costs.entries()) {
    before[i + 1] = (before[i] ?? 0) + cost;
    weighty[i + 1] = (weighty[i] ?? 0) + (hasWeights ? 1 : 0);
  }
  const work = before[count] ?? 0;
  const hasWeights = (from: number, to: number): boolean => (weighty[to] ?? 0) > (weighty[from] ?? 0);
  const legal = Array.from({ length: Math.max(0, count - 1) }, (_, i) => i + 1).filter(
    (p) => space.obstacles(p).length === 0 && hasWeights(0, p) && hasWeights(p, count),
  );
  const inMiddle = legal.filter((p) => (before[p] ?? 0) >= work * MIDDLE[0] && (before[p] ?? 0) <= work * MIDDLE[1]);
  const widths = (inMiddle.length > 0 ? inMiddle : legal).map(space.width);
  const widthMax = Math.max(
    1,
    Math.floor(widths.reduce((least, width) => Math.min(least, width), Number.POSITIVE_INFINITY)),
  );
  const places = legal.filter((p) => Math.floor(space.width(p)) <= widthMax);
  const shards = shardCounts(places, count, weighty);
  return {
    places,
    legal,
    shardsFrom: (from) => shards[from] ?? 0,
    workBefore: (p) => before[p] ?? 0,
    work,
    hasWeights,
  };
}

/** For every place, the most shards behind it: the first cut after the first weights is never worse than a later one. */
function shardCounts(places: readonly number[], count: number, weighty: Int32Array): Int32Array {
  const shards = new Int32Array(count + 1);
  const nextCut = new Int32Array(count + 2).fill(count);
  const isCut = new Set(places);
  for (let p = count - 1; p >= 0; p--) nextCut[p] = isCut.has(p) ? p : (nextCut[p + 1] ?? count);
  let firstEnd = count + 1;
  for (let p = count - 1; p >= 0; p--) {
    if ((weighty[p + 1] ?? 0) > (weighty[p] ?? 0)) firstEnd = p + 1;
    if (firstEnd > count) continue;
    const cut = nextCut[firstEnd] ?? count;
    shards[p] = 1 + (cut < count ? (shards[cut] ?? 0) : 0);
  }
  return shards;
}

/** Why a graph cannot be cut, as the end of a sentence. */
export function whyWhole(space: CutSpace): string {
  const body = space.nodes.find(({ proto }) => proto.attribute.some((a) => a.g !== undefined || a.graphs.length > 0));
  const withWeights = space.costs.filter(({ hasWeights }) => hasWeights).length;
  if (withWeights < 2) {
    if (body !== undefined) return `its work is inside one ${body.proto.opType} node, which cannot be split`;
    return withWeights === 0 ? "it has no weights" : "all its weights belong to one node";
  }
  const tally: Record<Obstacle, number> = { type: 0, binding: 0, fusion: 0, rounding: 0 };
  for (let p = 1; p < space.nodes.length; p++) for (const obstacle of space.obstacles(p)) tally[obstacle] += 1;
  const [worst] = Object.entries(tally).sort((a, b) => b[1] - a[1])[0] ?? ["fusion"];
  if (worst === "type") return "the element types of the tensors between its nodes are not known";
  if (worst === "binding") return "its state is read and written by nodes that stand far apart";
  if (worst === "rounding") return "it rounds to 16 bits in ways that any cut would change";
  return "its nodes are too few or are fused with each other";
}
