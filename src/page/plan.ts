import { explainPlan, type PlanExplanation } from "../shard/explain.ts";
import { oncePer } from "../shard/memo.ts";
import type { PlanSummary } from "../shard/summary.ts";

/** A plan that says why it is as it is. */
export interface Plan extends PlanSummary {
  explain(): PlanExplanation;
}

/** The same plan with `explain`, which structured clones leave behind. */
export const planOf = oncePer((plan: PlanSummary): Plan => {
  const explain = (): PlanExplanation => explainPlan(plan);
  return Object.assign(Object.create({ explain }) as { explain: typeof explain }, plan);
});
