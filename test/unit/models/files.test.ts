import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { externalRange, parseModel, type TensorProto } from "../../../src/shard/model.ts";
import {
  BENCH_100MB,
  bytesOf,
  DTYPES,
  FAMILIES,
  type GeneratedPart,
  type GenerateOptions,
  generate,
  inMemory,
  LARGE_6GB,
  writeModel,
} from "../../models/generate/index.ts";
import * as plain from "../../models/load.mjs";
import { numbersOf, sessionOf, tensorsOf } from "./run.ts";

const VERSIONS = [
  { opset: 17, ir: 3 },
  { opset: 21, ir: 13 },
];
const MORE_VERSIONS = [
  { opset: 17, ir: 4 },
  { opset: 18, ir: 8 },
  { opset: 19, ir: 9 },
  { opset: 20, ir: 11 },
];

describe("the files of a generated model", () => {
  it.each(FAMILIES)("of %s hold the same weights inline and outside, in every dtype", (family) => {
    for (const dtype of DTYPES) {
      const options = { family, dtype, layers: 1, form: "two" } as const;
      const inline = generate(options).parts.map(weightsOf);
      const outside = [1, 3].map((externalFiles) => generate({ ...options, externalFiles }).parts);
      for (const parts of outside) expect(parts.map(weightsOf)).toEqual(inline);
      for (const part of outside[0] ?? []) expect(part.files.length).toBe(2);
      for (const part of outside[1] ?? []) expect([3, 4]).toContain(part.files.length);
    }
  });

  it.each(FAMILIES)("of %s are the same each time, and others with another seed", (family) => {
    for (const dtype of DTYPES) {
      const digests = (seed: number): string[] =>
        generate({ family, dtype, seed, layers: 1, form: "two" }).parts.flatMap(({ files }) =>
          files.map(bytesOf).map(sha256),
        );
      expect(digests(1)).toEqual(digests(1));
      expect(digests(1)).not.toEqual(digests(2));
    }
  });

  it("are of the promised length, written to disk as they are in memory", async () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-models-"));
    try {
      const model = generate({ family: "whisper", form: "two", layers: 1, externalFiles: 2 });
      await writeModel(model, folder);
      for (const file of model.parts.flatMap((part) => part.files)) {
        expect(Buffer.compare(readFileSync(join(folder, file.path)), bytesOf(file))).toBe(0);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("are made in chunks of a few megabytes, whatever their size", () => {
    const [small] = generate(BENCH_100MB).parts;
    expect(total(small) / 1e6).toBeCloseTo(102, 0);
    const [large] = generate(LARGE_6GB).parts;
    expect(large?.files.length).toBe(2);
    const [graph, data] = large?.files ?? [];
    if (graph === undefined || data === undefined) throw new Error("no external data");
    expect(graph.bytes).toBeLessThan(2e6);
    expect(data.bytes).toBeGreaterThan(6e9);
    let checked = 0;
    for (const chunk of data.chunks()) {
      expect(chunk.length).toBeLessThanOrEqual(8 * 2 ** 20);
      if (++checked === 4) break;
    }
    const offsets = tensorsOfGraph(bytesOf(graph)).map((tensor) => externalRange(tensor));
    expect(offsets.some((range) => range !== null && range.offset > 2 ** 32)).toBe(true);
  });

  it("do not go inline beyond what protobuf can hold", () => {
    expect(() => generate({ ...LARGE_6GB, externalFiles: 0 })).toThrow(/must be external/);
  });

  it("are reached from plain JavaScript too", () => {
    const ours = generate({ family: "bert", layers: 1 }).parts[0];
    const theirs = plain.generate({ family: "bert", layers: 1 }).parts[0];
    expect(theirs?.files.map(bytesOf).map(sha256)).toEqual(ours?.files.map(bytesOf).map(sha256));
  });

  it.each<[Partial<GenerateOptions>, RegExp]>([
    [{ heads: 4, kvHeads: 3 }, /KV heads/],
    [{ opset: 16 }, /opset/],
    [{ ir: 2 }, /IR/],
    [{ headDim: 7 }, /rotated/],
    [{ image: 30, patch: 4 }, /patches/],
  ])("are refused for %o", (wrong, reason) => {
    expect(() => generate({ family: "llama", ...wrong })).toThrow(reason);
  });
});

describe("every opset and IR version", () => {
  const every = FAMILIES.flatMap((family) => VERSIONS.map((version) => ({ family, ...version })));
  it.each([...every, ...MORE_VERSIONS.map((version) => ({ family: "bert" as const, ...version }))])(
    "loads $family of opset $opset and IR $ir",
    async (options) => {
      for (const part of generate({ ...options, layers: 1, form: "two", externalFiles: options.ir % 2 }).parts) {
        const session = await sessionOf(part);
        const feeds = tensorsOf(part.feeds("first"));
        expect([...session.inputNames].sort()).toEqual(Object.keys(feeds).sort());
        const outputs = Object.values(await session.run(feeds));
        expect(outputs.every((tensor) => numbersOf(tensor).every(Number.isFinite))).toBe(true);
        await session.release();
      }
    },
  );

  it("lists weights as inputs in IR 3 only", () => {
    const inputs = (ir: number): number => {
      const [part] = generate({ family: "bert", layers: 1, ir }).parts;
      return parseModel(modelBytes(part)).graph.input.length;
    };
    expect(inputs(4)).toBe(3);
    expect(inputs(3)).toBe(3 + tensorsOfGraph(modelBytes(generate({ family: "bert", layers: 1 }).parts[0])).length);
  });
});

function modelBytes(part: GeneratedPart | undefined): Uint8Array {
  return (part === undefined ? undefined : inMemory(part).get("")) ?? new Uint8Array();
}

function tensorsOfGraph(bytes: Uint8Array): TensorProto[] {
  return parseModel(bytes).graph.initializer;
}

/** The digest of each weight's bytes by its name, wherever they are. */
function weightsOf(part: GeneratedPart): Record<string, string> {
  const files = inMemory(part);
  const pairs = tensorsOfGraph(modelBytes(part)).map((tensor): [string, string] => {
    const range = externalRange(tensor);
    if (range === null) return [tensor.name, sha256(tensor.rawData)];
    expect(range.offset % 64).toBe(0);
    return [
      tensor.name,
      sha256((files.get(range.location) ?? new Uint8Array()).subarray(range.offset, range.offset + range.length)),
    ];
  });
  return Object.fromEntries(pairs);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function total(part: GeneratedPart | undefined): number {
  return part?.files.reduce((sum, file) => sum + file.bytes, 0) ?? 0;
}
