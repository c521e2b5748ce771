import { type Layers, layersOf } from "../layers-of.ts";
import { IMBALANCE_PER_TENSOR } from "../limits.ts";
import { affordable, evenCuts, minisum } from "./partition.ts";
import { type Choice, rangesOf, type StrategyInput } from "./strategy.ts";

/** What an uneven share of the weights weighs against an uneven number of layers: it only breaks ties. */
const TIE = 1e-4;

/**
 * Contiguous layers, equally many in each shard (numbers differ by one at most where every boundary is legal); where there are more
 * shards than layers, equal fractions of them. Between equals the evener weights. A graph without layers is shared out by its
 * weights.
 */
export function layerBased(input: StrategyInput): Choice {
  const { narrow, space, shards, model } = input;
  const layers = layersOf(space, narrow);
  const cuts = (layers === null ? null : cutLayers(input, layers)) ?? evenCuts(narrow, shards, widthPenalty(input));
  const ranges = rangesOf(cuts, model.count);
  if (layers === null) {
    const share = (from: number, to: number): string =>
      `${Math.round((100 * (narrow.workBefore(to) - narrow.workBefore(from))) / Math.max(1, narrow.work))} % of the weights`;
    const reason = "neither names nor structure show layers, so the weights are shared out evenly";
    return { cuts, hosts: null, reason, whys: ranges.map(([from, to]) => share(from, to)) };
  }
  const numbers = ranges.map(([from, to]) => Math.round((layers.before(to) - layers.before(from)) * 10) / 10);
  const reason = `${layers.count} layers (found by ${layers.foundBy}) as ${numbers.join(" + ")}`;
  return { cuts, hosts: null, reason, whys: ranges.map(([from, to]) => whyOf(layers, from, to, model.count)) };
}

function cutLayers({ narrow, model, shards }: StrategyInput, layers: Layers): number[] | null {
  const even = layers.count / shards;
  const cost = (from: number, to: number): number => {
    const off = layers.before(to) - layers.before(from) - even;
    const share = ((narrow.workBefore(to) - narrow.workBefore(from)) / Math.max(1, narrow.work)) * shards - 1;
    return off * off + TIE * share * share;
  };
  const between = { count: model.count, shards, hasWeights: narrow.hasWeights, cost };
  const whole = shards <= layers.count ? cutAt(layers.boundaries) : null;
  return whole ?? cutAt(narrow.places);

  function cutAt(places: readonly number[]): number[] | null {
    if (places.length < shards - 1) return null;
    const some = places === narrow.places ? affordable(narrow, places, shards) : spread(places, shards);
    return minisum({ ...between, places: some });
  }
}

/** At most some hundreds of boundaries, evenly taken. */
function spread(places: readonly number[], shards: number): readonly number[] {
  const most = Math.max(1000, shards * 2);
  if (places.length <= most) return places;
  return places.filter(
    (_, i) => Math.floor((i * most) / places.length) !== Math.floor(((i - 1) * most) / places.length),
  );
}

function widthPenalty({ space }: StrategyInput): (p: number) => number {
  return (p) => space.width(p) * IMBALANCE_PER_TENSOR;
}

function whyOf(layers: Layers, from: number, to: number, count: number): string {
  const [first, last] = [layers.before(from), layers.before(to)];
  const text = (value: number): string => String(Math.round(value * 10) / 10);
  const parts = last - first < 0.05 ? [] : [`layers ${text(first)} to ${text(last)} of ${layers.count}`];
  if (from === 0) parts.unshift("what comes before the layers");
  if (to === count) parts.push("what comes after the layers");
  return parts.join(", ") || "a part of one layer";
}
