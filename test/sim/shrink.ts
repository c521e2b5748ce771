import { type Outcome, play } from "./history.ts";
import type { HistoryPlan } from "./plan.ts";

/** The plan with only these of its faults. */
export function only(plan: HistoryPlan, kept: readonly number[]): HistoryPlan {
  return { ...plan, faults: plan.faults.filter((_, index) => kept.includes(index)) };
}

/** Leaves out faults, one after the other, for as long as the history still fails. */
export function shrink(plan: HistoryPlan): { readonly kept: readonly number[]; readonly outcome: Outcome } {
  let kept = plan.faults.map((_, index) => index);
  let outcome = play(plan);
  for (let smaller = true; smaller; ) {
    smaller = false;
    for (const index of kept) {
      const fewer = kept.filter((other) => other !== index);
      const tried = play(only(plan, fewer));
      if (tried.violations.length === 0) continue;
      [kept, outcome, smaller] = [fewer, tried, true];
      break;
    }
  }
  return { kept, outcome };
}
