import { describe, expect, it } from "vitest";
import { familyEvidenceOf } from "../../../src/history/family-evidence.ts";
import { FAMILIES } from "../../../src/shard/family.ts";
import { History } from "./build.ts";

/** A stage of a plan of a model, as hosts report it. */
const at = (model: string, family: (typeof FAMILIES)[number], stage = 0, provider = 2) => ({
  model,
  metrics: { family: FAMILIES.indexOf(family), shards: 2, stage, weightBytes: 1_000 + stage, provider },
});
const of = (history: History) =>
  familyEvidenceOf(history.tracker).sort((a, b) =>
    `${a.family} ${a.browserType}`.localeCompare(`${b.family} ${b.browserType}`),
  );

describe("the evidence of a family, against hand-computed tables", () => {
  it("compares browsers within each model and weighs them by their runs", () => {
    const history = new History()
      // chrome 10 and edge 30: over their mean of 20, 0.5 and 1.5.
      .times([10, 10], { ...at("vit", "vision"), type: "chrome" })
      .times([30], { ...at("vit", "vision"), type: "edge" })
      // A hundred times as slow, for both: chrome 1, edge 1.
      .times([2_000, 2_000, 2_000, 2_000], { ...at("clip", "vision"), type: "chrome" })
      .times([2_000, 2_000, 2_000], { ...at("clip", "vision"), type: "edge" });
    expect(of(history)).toEqual([
      { browserType: "chrome", family: "vision", samples: 6, relative: (2 * 0.5 + 4) / 6 },
      { browserType: "edge", family: "vision", samples: 4, relative: (1.5 + 3) / 4 },
    ]);
  });

  it("keeps families apart, and stages, and providers", () => {
    const history = new History()
      .times([10], { ...at("bert", "text"), type: "chrome" })
      .times([30], { ...at("bert", "text"), type: "edge" })
      .times([10], { ...at("whisper", "audio"), type: "chrome" })
      .times([10], { ...at("whisper", "audio", 1), type: "edge" })
      .times([10], { ...at("whisper", "audio", 0, 0), type: "firefox" });
    expect(of(history)).toEqual([
      { browserType: "chrome", family: "text", samples: 1, relative: 0.5 },
      { browserType: "edge", family: "text", samples: 1, relative: 1.5 },
    ]);
  });

  it("counts failures as tries, and running operations as nothing", () => {
    const failed = { model: "bert", status: "failed", type: "edge" } as const;
    const history = new History()
      .times([20, 20], { ...at("bert", "text"), type: "chrome" })
      .times([20, 20], { ...at("bert", "text"), type: "edge" })
      .record(failed, failed, { model: "bert", status: "running", type: "edge" });
    // Two of four succeeded: 40 ms until one does, over a mean of 30.
    expect(of(history)).toEqual([
      { browserType: "chrome", family: "text", samples: 2, relative: 20 / 30 },
      { browserType: "edge", family: "text", samples: 2, relative: 40 / 30 },
    ]);
  });

  it("is none where one browser alone ran a model, where no family is known, and of nothing", () => {
    expect(of(new History())).toEqual([]);
    expect(of(new History().times([10, 20], at("bert", "text")))).toEqual([]);
    expect(of(new History().times([10]).times([20], { type: "edge" }))).toEqual([]);
  });
});
