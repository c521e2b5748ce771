import type { StageInfo } from "../protocol/events.ts";

/** Attempts grow, and within one a stage starts, is ready, and is lost, in this order. */
export function newer(known: StageInfo | undefined, told: StageInfo): StageInfo {
  if (known === undefined || told.attempt > known.attempt) return told;
  return told.attempt === known.attempt && PHASES.indexOf(told.phase) >= PHASES.indexOf(known.phase) ? told : known;
}
const PHASES: readonly StageInfo["phase"][] = ["starting", "ready", "lost"];
