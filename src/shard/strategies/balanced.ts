import { hopMs, meanHost, stageMs } from "../stage-time.ts";
import { affordable, evenCuts, minimax } from "./partition.ts";
import { type Choice, rangesOf, type StrategyInput } from "./strategy.ts";

/**
 * The smallest slowest stage, its sending included, on hosts that are all alike (the mean of those given). Dynamic programming over
 * all legal cuts: optimal, unless a graph has so many that only those near even shares are looked at.
 */
export function balanced(input: StrategyInput): Choice {
  const { narrow, model, shards } = input;
  const host = meanHost(input.hosts);
  const hop = (to: number): number => hopMs(model, to, host);
  const cost = (from: number, to: number): number => stageMs(model, from, to, host) + hop(to);
  const places = affordable(narrow, narrow.legal, shards);
  const price = (_: number, to: number): number => hop(to);
  const found = minimax({ places, count: model.count, shards, hasWeights: narrow.hasWeights, cost, price });
  const cuts = found ?? evenCuts(narrow, shards);
  const times = rangesOf(cuts, model.count).map(([from, to]) => cost(from, to));
  const slowest = times.indexOf(Math.max(...times));
  const reason = `the slowest stage is as fast as it can be, ${ms(times[slowest] ?? 0)} ms of ${ms(times.reduce((a, b) => a + b, 0))} in all`;
  const whys = times.map((time, i) => `${i === slowest ? "the slowest stage: " : ""}${ms(time)} ms with sending`);
  return { cuts, hosts: null, reason, whys };
}

/** Milliseconds for people: two significant digits. */
export function ms(value: number): string {
  return String(Number(value.toPrecision(2)));
}
