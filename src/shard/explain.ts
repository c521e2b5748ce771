import type { PlanSummary, ShardSummary } from "./summary.ts";
import type { ShardingStrategy } from "./types.ts";

/** Why a plan is as it is: for programs, and as text for people. */
export interface PlanExplanation {
  readonly strategy: ShardingStrategy;
  readonly reason: string;
  readonly shards: readonly ShardExplanation[];
  readonly text: string;
}

export interface ShardExplanation {
  readonly index: number;
  readonly weightBytes: number;
  /** Milliseconds of a typical run, and of sending its results on; null: not known. */
  readonly estimatedMs: number | null;
  readonly hopMs: number | null;
  readonly browserType: string | null;
  /** What arrives from the shard before. `isGuess`: some size of it was assumed; bytes null: not known. */
  readonly cut: readonly { readonly name: string; readonly bytes: number | null; readonly isGuess: boolean }[];
  /** What the shard is, and why it ends where it ends. */
  readonly why: string;
}

const UNITS = ["bytes", "KB", "MB", "GB"] as const;

export function explainPlan(plan: PlanSummary): PlanExplanation {
  const shards = plan.shards.map(explainShard);
  const lines = shards.flatMap((shard) => {
    const time = shard.estimatedMs === null ? "" : `, about ${shard.estimatedMs} ms`;
    const host = shard.browserType === null ? "" : ` on ${shard.browserType}`;
    const why = shard.why === "" ? "" : `: ${shard.why}`;
    const cut = shard.cut.length === 0 ? [] : [`  takes ${shard.cut.map(cutText).join(", ")}`];
    return [`shard ${shard.index}${host}: ${size(shard.weightBytes)} of weights${time}${why}`, ...cut];
  });
  return {
    strategy: plan.strategy,
    reason: plan.reason,
    shards,
    text: [`${plan.strategy}: ${plan.reason}`, ...lines].join("\n"),
  };
}

function explainShard({ index, weightBytes, cutTensors, estimate }: ShardSummary): ShardExplanation {
  const cut = cutTensors.map((name, i) => {
    const bytes = estimate?.cutBytes[i] ?? null;
    return { name, bytes: bytes === null ? null : Math.abs(bytes), isGuess: bytes !== null && bytes < 0 };
  });
  return {
    index,
    weightBytes,
    cut,
    estimatedMs: estimate?.ms ?? null,
    hopMs: estimate?.hopMs ?? null,
    browserType: estimate?.browserType ?? null,
    why: estimate?.why ?? "",
  };
}

function cutText({ name, bytes, isGuess }: ShardExplanation["cut"][number]): string {
  return bytes === null ? name : `${name} (${isGuess ? "about " : ""}${size(bytes)})`;
}

function size(bytes: number): string {
  const unit = bytes <= 0 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log(bytes) / Math.log(1024)));
  return `${Number((bytes / 1024 ** unit).toPrecision(3))} ${UNITS[unit]}`;
}
