import { type CallAgainNeeds, callAgain } from "../base/call-again.ts";
import { HoldfastError, toErrorData } from "../base/errors.ts";
import type { RestoreFrom, StageStatus } from "../protocol/stage.ts";
import { planReplay, type ReplayPlan } from "./replay.ts";
import type { StageLink } from "./wiring.ts";

/** A way back as `waysBack` gives it, or the only one at levels that keep no state. */
export interface Way {
  readonly run: number;
  readonly from: RestoreFrom;
}

export interface PutBackInput extends CallAgainNeeds {
  readonly links: readonly StageLink[];
  /** What each stage said of itself. */
  readonly statuses: readonly StageStatus[];
  /** The best first. */
  readonly ways: readonly Way[];
  /** Outputs of runs up to here are kept by nobody. */
  readonly safe: number;
  readonly acked: number;
  /** Stored by all stages: what is stored up to here stays so, wherever the stages go back to. */
  readonly durable: number;
  readonly restoreAll: boolean;
  /** False: a newer wiring has taken over. */
  isCurrent(): boolean;
  /** What this stage has stored, as it says after a way back. */
  stored(stage: number, runs: readonly number[]): void;
  /** What this stage has stored after this run is missing or damaged. */
  damaged(stage: number, run: number): void;
}

export type PutBack =
  | { readonly done: true; readonly plan: ReplayPlan; readonly way: Way }
  /** These stages gave no answer. */
  | { readonly done: false; readonly silent: readonly number[] }
  /** No way is left, or something failed that has nothing to do with what is stored. */
  | { readonly done: false; readonly error: HoldfastError };

const NOTHING_LEFT = "Nothing that is stored leads back to the state of the session; start again with { reset: true }.";

/**
 * Puts back the stages that need it, by the best way; one that turns out to be damaged is refused and the next one
 * taken. Null: a newer wiring has taken over.
 */
export async function putBack(input: PutBackInput): Promise<PutBack | null> {
  const { ways, safe, acked, restoreAll } = input;
  let { statuses, durable } = input;
  const stay = planReplay({ statuses, safe, acked, restoreAll });
  if (stay.restore.length === 0) return { done: true, plan: stay, way: { run: safe, from: "initial" } };
  let lost = new HoldfastError("STATE_LOST", NOTHING_LEFT);
  for (const way of ways) {
    // Nobody has kept what was sent before the safe run: all stages do it again.
    const plan = planReplay({ statuses, safe: way.run, acked, restoreAll: restoreAll || way.run < safe });
    const tried = await tryWay({ ...input, durable }, plan.restore, way);
    if (!input.isCurrent()) return null;
    if (tried === "done") return { done: true, plan, way };
    if ("silent" in tried) return { done: false, silent: tried.silent };
    if (tried.error.code !== "STATE_LOST") return { done: false, error: tried.error };
    lost = tried.error;
    // What is damaged is stored anew by the runs that are done again.
    durable = Math.min(durable, way.run - 1);
    // One that was put back has nothing to send to the stages after it.
    statuses = statuses.map((status, stage) => (plan.restore.includes(stage) ? { ...status, run: null } : status));
  }
  return { done: false, error: lost };
}

async function tryWay(
  input: PutBackInput,
  stages: readonly number[],
  { run, from }: Way,
): Promise<"done" | { readonly silent: readonly number[] } | { readonly error: HoldfastError }> {
  const { links, acked, durable, stored, damaged, isCurrent } = input;
  const params = { run, from, answered: acked, durable };
  const answers = await Promise.all(stages.map((stage) => restore(links[stage], params, input)));
  if (!isCurrent()) return "done";
  const silent = stages.filter((_, index) => answers[index] === null);
  if (silent.length > 0) return { silent };
  let error: HoldfastError | null = null;
  for (const [index, answer] of answers.entries()) {
    const stage = stages[index] ?? 0;
    if (answer instanceof HoldfastError) {
      if (answer.code === "STATE_LOST") damaged(stage, run);
      // What has another reason is told first.
      if (error === null || error.code === "STATE_LOST") error = answer;
    } else if (answer !== null) stored(stage, answer.stored);
  }
  return error === null ? "done" : { error };
}

/** A full disk may refuse to let go of what is stored for later runs; asked over ports of an older wiring, nobody answers. */
async function restore(
  link: StageLink | undefined,
  params: Parameters<StageLink["restore"]>[0],
  needs: CallAgainNeeds,
): Promise<StageStatus | HoldfastError | null> {
  try {
    return await callAgain(async () => (await link?.restore(params)) ?? null, needs);
  } catch (error) {
    return HoldfastError.from(toErrorData(error, "STATE_LOST"));
  }
}
