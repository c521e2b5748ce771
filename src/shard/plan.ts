import { HoldfastError } from "../base/errors.ts";
import { assemble, estimates } from "./assemble.ts";
import type { AssumedSizes } from "./assumed-sizes.ts";
import { type BindingOption, findBindings } from "./bindings.ts";
import { calibrate, type Measurement } from "./calibrate.ts";
import { costModel } from "./cost-model.ts";
import { type CutSpace, cutSpace } from "./cuts.ts";
import { familyOf } from "./family.ts";
import { graphOf } from "./graph.ts";
import type { BrowserEvidence, FamilyEvidence, HostProfile } from "./host-profile.ts";
import { narrowCuts, whyWhole } from "./narrow.ts";
import type { Skeleton } from "./skeleton.ts";
import { fits } from "./stage-time.ts";
import { chooseStrategy, STRATEGIES } from "./strategies/auto.ts";
import { fewestThatFit } from "./strategies/hardware-aware.ts";
import type { Choice, StrategyInput } from "./strategies/strategy.ts";
import { SHARDING_STRATEGY_OPTIONS, type ShardingStrategyOption, type ShardPlan } from "./types.ts";
import { validatePlan } from "./validate.ts";

export interface PlanOptions {
  /** How many shards; without it the model stays whole. */
  readonly shards?: number | undefined;
  readonly shardingStrategy?: ShardingStrategyOption | undefined;
  readonly bindings?: BindingOption | undefined;
  /** What is known of the hosts, in the order in which stages take them unless the strategy chooses; none: all are alike. */
  readonly hosts?: readonly HostProfile[] | undefined;
  /** What history knows of this model, and of each family, on each browser type. */
  readonly evidence?: readonly BrowserEvidence[] | undefined;
  readonly families?: readonly FamilyEvidence[] | undefined;
  /** Sizes of open dimensions in a typical run, by name or as "input:axis"; only estimates depend on them. */
  readonly assumedSizes?: AssumedSizes | undefined;
  /** What the stages of an earlier plan of this model took. */
  readonly measured?: Measurement | undefined;
}

/**
 * Cuts a model into a linear pipeline of shards.
 * @throws HoldfastError TOO_MANY_SHARDS (its message names the most), BAD_OPTIONS, BAD_MODEL, UNSUPPORTED_OP, OUT_OF_MEMORY (the
 * hosts are too small for it).
 */
export function planShards(skeleton: Skeleton, options: PlanOptions = {}): ShardPlan {
  const { shards = 1, shardingStrategy: asked = "layer_based", hosts = [] } = options;
  checkHosts(hosts);
  if (!Number.isInteger(shards) || shards < 1) {
    throw new HoldfastError("BAD_OPTIONS", `shards is ${shards}: give a whole number from 1 up`);
  }
  if (!SHARDING_STRATEGY_OPTIONS.includes(asked)) {
    const known = SHARDING_STRATEGY_OPTIONS.join(", ");
    throw new HoldfastError("BAD_OPTIONS", `the sharding strategy ${asked} is not known: use one of ${known}`);
  }
  const graph = graphOf(skeleton);
  const bindings = findBindings(graph, options.bindings);
  const space = cutSpace(graph, bindings);
  const narrow = narrowCuts(space);
  const shardsMax = Math.max(1, narrow.shardsFrom(0));
  if (shards > shardsMax) throw tooMany(shards, shardsMax, space);
  const estimated = costModel(graph, space, bindings, options.assumedSizes);
  const model = options.measured === undefined ? estimated : calibrate(estimated, options.measured);
  const { evidence = [], families = [] } = options;
  const given: StrategyInput = { graph, bindings, space, narrow, model, shards, hosts, evidence, families };
  const isTooLarge =
    options.shards === undefined && hosts.length > 0 && !hosts.some((host) => fits(model, 0, model.count, host));
  const input = isTooLarge ? { ...given, shards: fewestThatFit(given) ?? shards } : given;
  const { strategy, because } = asked === "auto" ? chooseStrategy(input) : { strategy: asked, because: null };
  const choice = STRATEGIES[strategy](input);
  const parts = assemble(graph, space, bindings, model, choice.cuts);
  const auto = because === null ? "" : ` auto took ${strategy}: ${because}.`;
  const reason = reasonOf(options.shards, shardsMax, choice, parts, space) + auto;
  const family = familyOf(graph);
  const plan = { strategy, reason, family, ...parts, stages: estimates(model, choice, hosts, parts.shards), shardsMax };
  validatePlan(plan, { graph, nodes: space.nodes, hosts });
  return plan;
}

function checkHosts(hosts: readonly HostProfile[]): void {
  for (const [index, host] of hosts.entries()) {
    const { memoryBytes, flopsPerMs, bytesPerMs, hopBytesPerMs, hopMs } = host;
    const isRight = [memoryBytes, flopsPerMs, bytesPerMs, hopBytesPerMs].every((n) => n > 0) && hopMs >= 0;
    if (isRight) continue;
    const message = `the profile of host ${index} (${host.browserType}) is not valid: its memory and speeds have to be above zero`;
    throw new HoldfastError("BAD_OPTIONS", message);
  }
}

function reasonOf(
  asked: number | undefined,
  most: number,
  choice: Choice,
  { cuts }: Pick<ShardPlan, "cuts">,
  space: CutSpace,
): string {
  if (cuts.length > 0) {
    const tensors = cuts.map((cut) => cut.tensors.length).join(", ");
    const why = asked === undefined ? "because no host holds the model whole" : "as asked for";
    return `${cuts.length + 1} shards ${why}, ${choice.reason}; ${tensors} tensors cross (up to ${most} shards are possible).`;
  }
  if (most === 1) return `The model runs whole: ${whyWhole(space)}.`;
  const why = asked === undefined ? "no number of shards was asked for" : "one shard was asked for";
  return `The model runs whole: ${why} (up to ${most} are possible).`;
}

function tooMany(asked: number, most: number, space: CutSpace): HoldfastError {
  const why = most === 1 ? ` because ${whyWhole(space)}` : "";
  const message = `${asked} shards were asked for, but this model can be cut into at most ${most}${why}: ask for ${most} or fewer`;
  return new HoldfastError("TOO_MANY_SHARDS", message, { limit: most });
}
