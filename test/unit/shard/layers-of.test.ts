import { describe, expect, it } from "vitest";
import { findBindings } from "../../../src/shard/bindings.ts";
import { componentsOf } from "../../../src/shard/components-of.ts";
import { cutSpace } from "../../../src/shard/cuts.ts";
import { graphOf } from "../../../src/shard/graph.ts";
import { layersOf } from "../../../src/shard/layers-of.ts";
import { narrowCuts } from "../../../src/shard/narrow.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { encoder, floats, model, type Node, node, type Tensor } from "./build.ts";
import { fileOf, modelFiles, readerOf } from "./models.ts";
import { unevenModel } from "./strategies/uneven.ts";

function structureOf(bytes: Uint8Array) {
  const graph = graphOf(readSkeleton(readerOf(bytes)));
  const space = cutSpace(graph, findBindings(graph));
  const narrow = narrowCuts(space);
  return { space, layers: layersOf(space, narrow), components: componentsOf(space, narrow) };
}

/** One MatMul and one Tanh a name. */
function named(names: readonly string[], operators: readonly string[] = []): Uint8Array {
  const nodes: Node[] = [];
  const weights: Tensor[] = [];
  for (const [i, name] of names.entries()) {
    weights.push(floats(`w${i}`, [32, 32]));
    nodes.push({ ...node("MatMul", `${i === 0 ? "x" : `t${i - 1}`} w${i}`, `m${i}`), name });
    nodes.push({ ...node(operators[i] ?? "Tanh", `m${i}`, i === names.length - 1 ? "y" : `t${i}`), name });
  }
  return model({ inputs: ["x:float:4,32"], outputs: ["y:float"], nodes, weights });
}

describe("layers are found by names", () => {
  it.each<[string, readonly string[], number]>([
    ["Llama's", ["/model/layers.0/a", "/model/layers.0/b", "/model/layers.1/a", "/model/layers.2/a"], 3],
    ["GPT-2's", ["/transformer/h.0/attn", "/transformer/h.0/mlp", "/transformer/h.1/attn"], 2],
    ["T5's", ["/encoder/block.0/layer.0/q", "/encoder/block.0/layer.1/w", "/decoder/block.0/layer.0/q"], 3],
    ["BERT's", ["/bert/encoder/layer.0/q", "/bert/encoder/layer.1/q"], 2],
    ["CLIP's two towers'", ["/text_model/encoder/layers.0/q", "/vision_model/encoder/layers.0/q"], 2],
    ["ResNet's", ["/layer1/layer1.0/conv", "/layer1/layer1.1/conv", "/layer2/layer2.0/conv"], 3],
  ])("%s", (_, names, count) => {
    expect(structureOf(named([...names, "/head"])).layers).toMatchObject({ count, foundBy: "names" });
  });

  it("moby-llama has six, with a cut between each two of them", () => {
    const { layers, space } = structureOf(fileOf(modelFiles("moby"), ""));
    expect(layers).toMatchObject({ count: 6, foundBy: "names" });
    const first = layers?.boundaries.map((p) => space.nodes[p]?.proto.name);
    expect(first).toEqual([1, 2, 3, 4, 5].map((i) => expect.stringMatching(`layers.${i}/input_layernorm`)));
  });
});

describe("layers are found by what repeats, where names say nothing", () => {
  const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}`);

  it("one operator after another", () => {
    expect(structureOf(named(names(6))).layers).toMatchObject({ count: 6, foundBy: "structure" });
  });

  it("a period of two, behind something else", () => {
    const operators = ["Sin", "Cos", "Tanh", "Cos", "Tanh", "Cos", "Tanh", "Cos", "Tanh"];
    const { layers } = structureOf(named(names(9), operators));
    expect(layers).toMatchObject({ count: 4, foundBy: "structure" });
    expect(layers?.at(0)).toBeNull();
  });

  it("an encoder without names", () => {
    expect(structureOf(encoder(4, "pre", "op")).layers).toMatchObject({ count: 4, foundBy: "structure" });
  });

  it("not where less than most of it repeats", () => {
    const operators = ["Sin", "Cos", "Tanh", "Abs", "Exp", "Exp"];
    expect(structureOf(named(names(6), operators)).layers).toBeNull();
  });
});

describe("components", () => {
  it("are found inside of one file", () => {
    const { components, space } = structureOf(unevenModel());
    expect(components.names(0, space.nodes.length)).toEqual(["embedding", "encoder", "decoder", "head"]);
    const moby = structureOf(fileOf(modelFiles("moby"), ""));
    expect(moby.components.names(0, moby.space.nodes.length)).toEqual(["embedding", "layers", "head"]);
  });

  it("are towers before they are encoders", () => {
    const towers = [
      "/vision_model/encoder/layers.0/q",
      "/vision_model/encoder/layers.1/q",
      "/text_model/encoder/layers.0/q",
    ];
    const { components, space } = structureOf(named([...towers, "/logits"]));
    expect(components.names(0, space.nodes.length)).toEqual(["vision tower", "text tower", "head"]);
  });

  it("of the inside of a layer count beside the layer and what it is in", () => {
    const { components, space } = structureOf(fileOf(modelFiles("moby"), ""));
    const at = (name: RegExp): number => space.nodes.findIndex((item) => name.test(item.proto.name));
    const norm = "input_layernorm";
    expect(components.splits(0, at(new RegExp(`layers.0/${norm}`)))).toBe(0);
    expect(components.splits(0, at(new RegExp(`layers.3/${norm}`)))).toBe(1);
    expect(components.splits(0, at(/layers.3\/post_attention_layernorm/))).toBe(2);
    // The second cut in the layers splits nothing that the first had not.
    expect(components.splits(at(new RegExp(`layers.3/${norm}`)), at(new RegExp(`layers.5/${norm}`)))).toBe(0);
  });
});
