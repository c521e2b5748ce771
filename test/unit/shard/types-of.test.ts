import { expect, it } from "vitest";
import { graphOf } from "../../../src/shard/graph.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { dataTypesOf } from "../../../src/shard/types-of.ts";
import { model, node } from "./build.ts";
import { readerOf } from "./models.ts";

function typeOfCast(to: number): number | undefined {
  const nodes = [node("Cast", "x", "t", { to }), node("Abs", "t", "y")];
  const bytes = model({ inputs: ["x:float:2"], outputs: ["y:float"], nodes });
  return dataTypesOf(graphOf(readSkeleton(readerOf(bytes)))).get("t");
}

it("a type that an attribute names is believed if there is such a type", () => {
  expect([7, 10, 22].map(typeOfCast)).toEqual([7, 10, 22]);
  // No ONNX file can declare these: to write one out would throw.
  expect([2 ** 40, 2 ** 62, -1, 0, 99].map(typeOfCast)).toEqual(Array(5).fill(undefined));
});
