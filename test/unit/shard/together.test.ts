import { describe, expect, it } from "vitest";
import { planShards } from "../../../src/shard/plan.ts";
import { componentsOfRepository } from "../../../src/shard/repository.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { type GeneratedPart, generate, inMemory } from "../../models/generate/index.ts";
import { tensorsOf } from "../models/run.ts";
import { fileOf, readerOf } from "./models.ts";
import { at, expectSame, Pipeline, pick, type Tensors, wholeSession } from "./pipeline.ts";

async function cut(part: GeneratedPart, shards: number) {
  const files = inMemory(part);
  const skeleton = readSkeleton(readerOf(fileOf(files, "")));
  const plan = planShards(skeleton, { shards, shardingStrategy: "component_based" });
  return { plan, pipeline: await Pipeline.open(skeleton, plan, files), whole: await wholeSession(files) };
}

describe.each(["t5", "whisper"] as const)("a %s of two files", (family) => {
  const { parts } = generate({ family, form: "two", crossCache: "passed" });

  it("is an encoder and a decoder, whose cache over the encoder's output is state: the bits of the whole models", async () => {
    expect(componentsOfRepository(parts.map(({ path }) => path)).map(({ role }) => role)).toEqual([
      "encoder",
      "decoder",
    ]);
    const [first, second] = parts as [GeneratedPart, GeneratedPart];
    const encoder = await cut(first, 3);
    const decoder = await cut(second, 1);
    const feeds = tensorsOf(first.feeds("first"));
    const encoded = await encoder.pipeline.run(
      pick(
        feeds,
        encoder.plan.feeds.map(({ name }) => name),
      ),
    );
    expectSame(encoded, await encoder.whole.run(feeds));
    const linked: Tensors = Object.fromEntries(
      Object.entries(second.links ?? {}).map(([input, { output }]) => [input, at(encoded, output)]),
    );
    const bindings = second.stateBindings;
    expect(Object.keys(bindings)).toContain("past_key_values.0.encoder.key");
    let state: Tensors = {};
    for (const past of [0, 5, 6, 7]) {
      const given = { ...tensorsOf(second.feeds(past === 0 ? "first" : "next", { past })), ...linked };
      if (past === 0) {
        state = pick(given, Object.keys(bindings));
        decoder.pipeline.setState(state);
      }
      const whole = await decoder.whole.run({ ...state, ...given });
      const made = await decoder.pipeline.run(
        pick(
          given,
          decoder.plan.feeds.map(({ name }) => name),
        ),
      );
      expectSame(made, pick(whole, Object.keys(made)));
      state = Object.fromEntries(Object.entries(bindings).map(([input, output]) => [input, at(whole, output)]));
    }
    for (const { pipeline, whole } of [encoder, decoder]) {
      await pipeline.close();
      await whole.release();
    }
  }, 60_000);
});
