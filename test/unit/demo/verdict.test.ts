import { describe, expect, it } from "vitest";
import { judge, type Outcome } from "../../../src/demo/verdict.ts";

const tokens = (ids: readonly number[]): Outcome["tokens"] => ids.map((id, index) => ({ index, id, text: "" }));
const outcome: Outcome = { asked: 3, tokens: tokens([7, 8, 9]), faults: 1, ended: "finished", twin: null };

describe("the demo's verdict", () => {
  it("claims no comparison that was not made", () => {
    const verdict = judge(outcome);
    expect(verdict.sentence).toBe("3 of 3 tokens, none lost");
    expect(verdict.wantsTwin).toBe(true);
    expect(verdict.comparison).toMatch(/not yet compared/i);
  });

  it("says that all are equal when they are", () => {
    const verdict = judge({ ...outcome, twin: { ids: [7, 8, 9], disturbed: false } });
    expect(verdict).toMatchObject({
      good: true,
      comparison: "Token for token the same as the undisturbed run of the same seed.",
    });
  });

  it("is bad when one differs", () => {
    const verdict = judge({ ...outcome, twin: { ids: [7, 5, 9], disturbed: false } });
    expect(verdict).toMatchObject({
      good: false,
      comparison: "1 of them differ from the undisturbed run of the same seed.",
    });
  });

  it("counts what is missing and what came twice", () => {
    const gapped = [0, 1, 1, 3].map((index) => ({ index, id: index, text: "" }));
    expect(judge({ ...outcome, asked: 4, tokens: gapped })).toMatchObject({
      good: false,
      sentence: "4 of 4 tokens, 1 missing, 1 came twice",
    });
  });

  it("does not call a stopped run finished", () => {
    expect(judge({ ...outcome, tokens: tokens([7]), ended: "stopped" }).sentence).toBe(
      "Stopped after 1 of 3 tokens, none lost",
    );
  });
});
