import { describe, expect, it } from "vitest";
import { applyEvent, type BoxState, emptyView, type ViewState } from "../../../src/demo/view-state.ts";
import type { SessionEvent, StageInfo } from "../../../src/protocol/events.ts";

const stage = (phase: StageInfo["phase"], hostId: string): SessionEvent => ({
  type: "stage",
  stage: { stage: 0, hostId, place: "tab", phase, attempt: 1, provider: "wasm", weightBytes: 1, nodes: 1 },
});
const fault: SessionEvent = {
  attempt: 0,
  type: "fault",
  at: 5,
  stage: 0,
  hostId: "a",
  category: "CRASH",
  signal: "frame process gone",
};
const recovering: SessionEvent = {
  ...{ type: "recovering", at: 6, stage: 0, strategy: "progressive" },
  ...{ step: "restart", attempt: 1, tried: [] },
};
const recovered: SessionEvent = {
  type: "recovered",
  at: 50,
  stage: 0,
  hostId: "b",
  ms: 40,
  replayedRuns: 2,
  restoredRun: 1,
  restoreMs: 4,
};

function story(events: readonly SessionEvent[]): { view: ViewState; states: (BoxState | undefined)[] } {
  const states: (BoxState | undefined)[] = [];
  let view = emptyView(1, 0);
  for (const [index, event] of events.entries()) {
    view = applyEvent(view, event, index, 12);
    states.push(view.boxes[0]?.state);
  }
  return { view, states };
}

describe("what the demo shows of a session", () => {
  it("calls a stage ready again only when it has recovered, not when its new host is up", () => {
    const { states } = story([
      stage("starting", "a"),
      stage("ready", "a"),
      fault,
      stage("lost", "a"),
      recovering,
      stage("starting", "b"),
      stage("ready", "b"),
      recovered,
    ]);
    expect(states).toEqual(["starting", "ready", "lost", "lost", "recovering", "recovering", "recovering", "ready"]);
  });

  it("marks a fault at the token where the page heard of it, and its recovery with the milliseconds", () => {
    const { view } = story([stage("ready", "a"), fault, recovered]);
    expect(view.faults).toMatchObject([{ number: 1, afterTokens: 12, at: 5, recovered: { ms: 40 } }]);
    expect(view.log.map(({ kind, ms }) => [kind, ms])).toEqual([
      ["fault", null],
      ["recovered", 40],
    ]);
  });
});
