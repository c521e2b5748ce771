import type { SessionEvent, StageInfo } from "../protocol/events.ts";

/** The stages of a session, as an event leaves them. */
export function stagesAfter(stages: readonly StageInfo[], event: SessionEvent): readonly StageInfo[] {
  if (event.type === "stage") return stages.map((stage) => (stage.stage === event.stage.stage ? event.stage : stage));
  if (event.type !== "fault") return stages;
  return stages.map((stage) => (stage.stage === event.stage ? { ...stage, phase: "lost" } : stage));
}
