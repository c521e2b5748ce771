import { componentsOf } from "../components-of.ts";
import { familyOf } from "../family.ts";
import type { HostProfile } from "../host-profile.ts";
import type { ShardingStrategy } from "../types.ts";
import { balanced } from "./balanced.ts";
import { browserOptimized } from "./browser-optimized.ts";
import { componentBased } from "./component-based.ts";
import { hardwareAware } from "./hardware-aware.ts";
import { layerBased } from "./layer-based.ts";
import type { Strategy, StrategyInput } from "./strategy.ts";

export const STRATEGIES: Readonly<Record<ShardingStrategy, Strategy>> = {
  layer_based: layerBased,
  component_based: componentBased,
  balanced,
  hardware_aware: hardwareAware,
  browser_optimized: browserOptimized,
};

/** Hosts whose figures differ by less are alike. */
const ALIKE = 1.25;
const TOWERS = ["vision tower", "audio tower", "text tower"];

/** What decides between the strategies. */
export interface Situation {
  readonly browserTypes: number;
  /** History has runs of at least one of the hosts' browsers. */
  readonly hasHistory: boolean;
  readonly isFamilyKnown: boolean;
  readonly areHostsUnlike: boolean;
  readonly hasSeveralComponents: boolean;
  readonly isDecoderOnly: boolean;
}

interface Rule {
  readonly strategy: ShardingStrategy;
  readonly holds: (situation: Situation) => boolean;
  readonly because: string;
}

/** The seed's column "Best For", what is measured before what is only known of the kind of model; the first row that holds. */
const RULES: readonly Rule[] = [
  {
    strategy: "browser_optimized",
    holds: ({ browserTypes, hasHistory }) => browserTypes > 1 && hasHistory,
    because: "several types of browsers are there and history knows how they do",
  },
  {
    strategy: "hardware_aware",
    holds: ({ areHostsUnlike }) => areHostsUnlike,
    because: "the hosts are heterogeneous",
  },
  {
    strategy: "component_based",
    holds: ({ hasSeveralComponents }) => hasSeveralComponents,
    because: "the model has several components, such as encoder and decoder",
  },
  { strategy: "layer_based", holds: ({ isDecoderOnly }) => isDecoderOnly, because: "the model is decoder-only" },
  {
    strategy: "browser_optimized",
    holds: ({ browserTypes, isFamilyKnown }) => browserTypes > 1 && isFamilyKnown,
    because: "several types of browsers are there and the model's family tells which suits it",
  },
  { strategy: "balanced", holds: () => true, because: "nothing speaks for another than the general-purpose one" },
];

/** The strategy that suits a model and its hosts, and why, as the end of a sentence. */
export function chooseStrategy(input: StrategyInput): {
  readonly strategy: ShardingStrategy;
  readonly because: string;
} {
  return ruleFor(situationOf(input));
}

export function ruleFor(situation: Situation): { readonly strategy: ShardingStrategy; readonly because: string } {
  const { strategy, because } = RULES.find((rule) => rule.holds(situation)) ?? (RULES.at(-1) as Rule);
  return { strategy, because };
}

function situationOf(input: StrategyInput): Situation {
  const { graph, bindings, space, narrow, hosts, evidence, families, model } = input;
  const family = familyOf(graph);
  const kin = families.filter((row) => row.family === family);
  const components = new Set(componentsOf(space, narrow).names(0, model.count));
  const types = new Set(hosts.map((host) => host.browserType));
  const isEncoderDecoder = components.has("encoder") && components.has("decoder");
  const hasSeveralComponents = isEncoderDecoder || TOWERS.filter((tower) => components.has(tower)).length > 1;
  const growing = bindings.filter(({ input }) => /past|cache|key|value/i.test(input.name));
  return {
    browserTypes: types.size,
    hasHistory: [...evidence, ...kin].some((row) => types.has(row.browserType) && row.samples > 0),
    isFamilyKnown: family !== null,
    areHostsUnlike: areUnlike(hosts),
    hasSeveralComponents,
    isDecoderOnly: growing.length > 0 && !components.has("encoder"),
  };
}

function areUnlike(hosts: readonly HostProfile[]): boolean {
  const differ = (of: (host: HostProfile) => number): boolean => {
    const values = hosts.map(of);
    return Math.max(...values) > Math.min(...values) * ALIKE;
  };
  const providers = new Set(hosts.map((host) => host.provider));
  if (hosts.length < 2) return false;
  return (
    providers.size > 1 || differ((h) => h.flopsPerMs) || differ((h) => h.bytesPerMs) || differ((h) => h.memoryBytes)
  );
}
