import { componentsOf } from "../components-of.ts";
import { meanHost, stageMs } from "../stage-time.ts";
import { affordable, evenCuts, minisum } from "./partition.ts";
import { type Choice, rangesOf, type StrategyInput } from "./strategy.ts";

/** An uneven share of the time never outweighs a component that is split. */
const TIE = 0.5;

/**
 * The fewest components split (a layer and the attention inside it count as components too), found by names and structure; among
 * equals the evenest times. Optimal over the narrow cuts.
 */
export function componentBased(input: StrategyInput): Choice {
  const { narrow, space, model, shards } = input;
  const components = componentsOf(space, narrow);
  const host = meanHost(input.hosts);
  const whole = stageMs(model, 0, model.count, host) + shards;
  const splits = (from: number, to: number): number => (to === model.count ? 0 : components.splits(from, to));
  const cost = (from: number, to: number): number =>
    splits(from, to) + TIE * (stageMs(model, from, to, host) / whole) ** 2;
  const places = affordable(narrow, narrow.places, shards);
  const { hasWeights } = narrow;
  const cuts = minisum({ places, count: model.count, shards, hasWeights, cost }) ?? evenCuts(narrow, shards);
  const ranges = rangesOf(cuts, model.count);
  const split = ranges.reduce((sum, [from, to]) => sum + splits(from, to), 0);
  const all = components.names(0, model.count).join(", ");
  const outcome = split === 0 ? "none is split" : split === 1 ? "1 is split" : `${split} are split`;
  const whys = ranges.map(([from, to]) => components.names(from, to).join(", "));
  return { cuts, hosts: null, reason: `components ${all}: ${outcome}`, whys };
}
