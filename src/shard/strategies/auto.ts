import type { ShardingStrategy } from "../types.ts";
import { balanced } from "./balanced.ts";
import { layerBased } from "./layer-based.ts";
import type { Strategy, StrategyInput } from "./strategy.ts";

export const STRATEGIES: Readonly<Record<ShardingStrategy, Strategy>> = {
  layer_based: layerBased,
  component_based: layerBased,
  balanced,
  hardware_aware: balanced,
  browser_optimized: balanced,
};

/** The strategy that suits a model and its hosts, by the seed's table of what each is best for, and why. */
export function chooseStrategy(input: StrategyInput): {
  readonly strategy: ShardingStrategy;
  readonly because: string;
} {
  if (input.bindings.length > 0) return { strategy: "layer_based", because: "it suits decoder-only models" };
  return { strategy: "balanced", because: "it suits any model" };
}
