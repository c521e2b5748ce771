import * as ort from "onnxruntime-web/wasm";
import type { Feeds } from "../../models/generate/feeds.ts";
import { type GeneratedPart, inMemory } from "../../models/generate/model.ts";
import { fromHalf } from "../../models/generate/weights.ts";
import { at, type Tensors, wholeSession } from "../shard/pipeline.ts";

/** A part of a generated model in onnxruntime, whole. */
export function sessionOf(part: GeneratedPart): Promise<ort.InferenceSession> {
  return wholeSession(inMemory(part));
}

/** Generated feeds as onnxruntime's tensors. */
export function tensorsOf(feeds: Feeds): Tensors {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data as never, dims)]),
  );
}

/** The values of a float tensor, halves widened. */
export function numbersOf(tensor: ort.Tensor | undefined): Float32Array {
  if (tensor === undefined) throw new Error("no such output");
  if (tensor.type === "float16") return fromHalf(new Uint16Array((tensor.data as Uint16Array).buffer));
  return tensor.data as Float32Array;
}

/** What a next run takes from the last one. */
export function stateOf({ stateBindings }: GeneratedPart, outputs: Tensors): Tensors {
  return Object.fromEntries(Object.entries(stateBindings).map(([input, output]) => [input, at(outputs, output)]));
}
