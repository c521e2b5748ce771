import { FAMILIES, type Family, familiesOfNodes, familyOf } from "../family.ts";
import type { HostProfile } from "../host-profile.ts";
import { sumsBefore } from "../range.ts";
import { DEFAULT_HOST, hopMs, stageMs } from "../stage-time.ts";
import { type Expectation, expectation, strongAt } from "../strengths.ts";
import { ms } from "./balanced.ts";
import { assignHosts } from "./hardware-aware.ts";
import { type Choice, rangesOf, type StrategyInput } from "./strategy.ts";

/**
 * The smallest predicted period: each host's time is what hardware tells, times what browsers' strengths and history lead one to
 * expect for the family (vision, audio, text) of the nodes that it gets.
 * @throws HoldfastError OUT_OF_MEMORY if nothing fits.
 */
export function browserOptimized(input: StrategyInput): Choice {
  const { model, graph } = input;
  const hosts = input.hosts.length === 0 ? [DEFAULT_HOST] : input.hosts;
  const predicted = predictor(input);
  const found = assignHosts(input, hosts, (host) => JSON.stringify(host), predicted.costMs);
  const ranges = rangesOf(found.cuts, model.count);
  const whys = ranges.map(([from, to], stage) => {
    const host = hosts[found.hosts[stage] ?? 0] ?? DEFAULT_HOST;
    const family = predicted.family(from, to);
    return `${ms(predicted.costMs(host, from, to))} ms expected of ${host.browserType}${family === null ? "" : ` for ${family}`}`;
  });
  const reason = `${sentence(familyOf(graph), hosts, predicted.of)}; the slowest shard is expected to take ${ms(found.worst)} ms`;
  return { cuts: found.cuts, hosts: input.hosts.length === 0 ? null : found.hosts, reason, whys };
}

interface Predictor {
  /** Milliseconds expected of a host for the nodes [from, to), sending included. */
  readonly costMs: (host: HostProfile, from: number, to: number) => number;
  /** The family of most of the work of the nodes [from, to). */
  readonly family: (from: number, to: number) => Family | null;
  readonly of: (host: HostProfile, family: Family | null) => Expectation;
}

export function predictor({ graph, space, model, evidence, families: kin }: StrategyInput): Predictor {
  const main = familyOf(graph);
  const families = familiesOfNodes(graph);
  const kinds: readonly (Family | null)[] = [...FAMILIES, null];
  const amount = space.nodes.map((_, place) => stageMs(model, place, place + 1, DEFAULT_HOST));
  const parts = kinds.map((kind) =>
    sumsBefore(space.nodes.map((node, place) => ((families.get(node) ?? main) === kind ? (amount[place] ?? 0) : 0))),
  );
  const share = (kind: number, from: number, to: number): number =>
    (parts[kind]?.[to] ?? 0) - (parts[kind]?.[from] ?? 0);
  const known = new Map<HostProfile, readonly Expectation[]>();
  const expected = (host: HostProfile): readonly Expectation[] => {
    const found = known.get(host) ?? kinds.map((kind) => expectation(host, kind, evidence, kin));
    known.set(host, found);
    return found;
  };
  return {
    of: (host, family) => expectation(host, family, evidence, kin),
    family: (from, to) => {
      const shares = kinds.map((_, kind) => share(kind, from, to));
      return kinds[shares.indexOf(Math.max(...shares))] ?? null;
    },
    costMs: (host, from, to) => {
      const all = expected(host);
      let [sum, weighted] = [0, 0];
      for (const [kind, { factor }] of all.entries()) {
        sum += share(kind, from, to);
        weighted += share(kind, from, to) * factor;
      }
      return stageMs(model, from, to, host) * (sum > 0 ? weighted / sum : 1) + hopMs(model, to, host);
    },
  };
}

/** What is expected of each browser, and on what ground. */
function sentence(
  family: Family | null,
  hosts: readonly HostProfile[],
  of: (host: HostProfile, family: Family | null) => Expectation,
): string {
  const types = [...new Map(hosts.map((host) => [host.browserType, host])).values()];
  const strong = family === null ? [] : types.filter((host) => strongAt(family).includes(host.browserType));
  const what = family === null ? "the model's family is not known" : `this is a ${family} model`;
  const prior =
    strong.length === 0 ? "" : `, which ${strong.map((host) => host.browserType).join(" and ")} is strong at`;
  const seen = types.map((host) => ({ host, ...of(host, family) })).filter(({ samples }) => samples > 0);
  const history = seen.map(
    ({ host, factor, samples, source }) =>
      `${host.browserType} × ${factor.toFixed(2)} after ${samples} runs${source === "family" ? ` of ${family} models` : ""}`,
  );
  return `${what}${prior}${history.length === 0 ? "" : `; history makes it ${history.join(", ")}`}`;
}
