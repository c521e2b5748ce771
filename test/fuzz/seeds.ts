import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { FunctionProtoSchema, NodeProtoSchema } from "onnx-buf";
import { parseModel, serialiseModel } from "../../src/shard/model.ts";
import { bytesOf, type GenerateOptions, generate } from "../models/generate/index.ts";
import { Random } from "../unit/random.ts";
import { body, encoder, floats, model, node } from "../unit/shard/build.ts";
import { buildRandom, KINDS, PICKS } from "../unit/shard/random-graph.ts";

/** The seeds of the fuzzer: small models of every kind, and one of real size that comes seldom. */
export interface SeedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** How often it is taken, against the others. */
  readonly weight: number;
}

const RANDOM_GRAPHS = 12;

export function seedFiles(): SeedFile[] {
  const real = "test/models/moby-llama/onnx-external/model.onnx";
  return [
    { name: "encoder", bytes: encoder(1, "pre", "op", 16), weight: 4 },
    { name: "old encoder", bytes: encoder(2, "post", "decomposed", 16), weight: 2 },
    { name: "nested branches", bytes: nestedBranches(4), weight: 4 },
    { name: "functions and metadata", bytes: withFunctions(), weight: 4 },
    ...generated(),
    ...randomGraphs(),
    { name: real, bytes: new Uint8Array(readFileSync(real)), weight: 0.3 },
  ];
}

/** Halves, quantised and fused operators, and a merged decoder with branches, in one layer each. */
function generated(): SeedFile[] {
  const size = { layers: 1, otherLayers: 1, hidden: 16, heads: 2, intermediate: 16, vocab: 24, context: 16 };
  const kinds: readonly GenerateOptions[] = [
    { family: "llama", variant: "fused", dtype: "int4-fp16" },
    { family: "bert", dtype: "int8-qdq" },
    { family: "whisper", form: "two", mels: 8, frames: 8 },
  ];
  return kinds.flatMap((options) =>
    generate({ ...size, ...options }).parts.map((part) => {
      const [file] = part.files;
      const bytes = file === undefined ? new Uint8Array() : bytesOf(file);
      return { name: `generated ${options.family} ${part.role}`, bytes, weight: 0.5 };
    }),
  );
}

function randomGraphs(): SeedFile[] {
  return Array.from({ length: RANDOM_GRAPHS }, (_, index) => {
    const random = new Random(index + 1);
    const pick = (): number => random.below(PICKS);
    const steps = Array.from({ length: 12 }, () => ({ kind: random.pick(KINDS), a: pick(), b: pick(), c: pick() }));
    const genome = { feeds: 2, steps, outputs: [pick()], flag: true, shuffle: index };
    return { name: `random graph ${index + 1}`, bytes: buildRandom(genome).shuffled, weight: 2 };
  });
}

/** If in If in If, each with a large weight and a capture of what lies outside. */
function nestedBranches(depth: number): Uint8Array {
  const inside = (level: number): ReturnType<typeof body> => {
    const out = `o${level}`;
    const last = node("MatMul", `${level === depth ? "h" : `r${level}`} w${level}`, out);
    const weights = [floats(`w${level}`, [32, 32])];
    if (level === depth) return body([], [`${out}:float`], [last], weights);
    const branches = { then_branch: { body: inside(level + 1) }, else_branch: { body: inside(depth) } };
    return body([], [`${out}:float`], [node("If", "flag", `r${level}`, branches), last], weights);
  };
  const branches = { then_branch: { body: inside(1) }, else_branch: { body: inside(depth) } };
  const nodes = [node("MatMul", "x w", "h"), node("If", "flag", "z", branches), node("MatMul", "z w", "y")];
  const inputs = ["x:float:b,32", "flag:bool:"];
  return model({ inputs, outputs: ["y:float"], nodes, weights: [floats("w", [32, 32])] });
}

/** A model-local function that a node calls, and metadata. */
function withFunctions(): Uint8Array {
  const parsed = parseModel(encoder(1, "post", "op", 16));
  const [last] = parsed.graph.output;
  const inner = parseModel(model({ inputs: ["a"], outputs: ["b"], nodes: [node("Add", "a a", "b")] }));
  const twice = { name: "Twice", domain: "test.functions", input: ["a"], output: ["b"], node: inner.graph.node };
  parsed.functions.push(create(FunctionProtoSchema, { ...twice, opsetImport: parsed.opsetImport }));
  const call = { opType: "Twice", domain: "test.functions", input: [last?.name ?? ""], output: ["twice"] };
  parsed.graph.node.push(create(NodeProtoSchema, call));
  if (last !== undefined) parsed.graph.output.push({ ...last, name: "twice" });
  parsed.graph.docString = "é".repeat(40);
  return serialiseModel(parsed);
}
