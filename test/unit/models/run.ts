import * as ort from "onnxruntime-web/wasm";
import type { Feeds } from "../../models/generate/feeds.ts";
import { type GeneratedPart, inMemory } from "../../models/generate/model.ts";
import { fromHalf } from "../../models/generate/weights.ts";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

export type Tensors = Readonly<Record<string, ort.Tensor>>;

export async function sessionOf(part: GeneratedPart): Promise<ort.InferenceSession> {
  const files = inMemory(part);
  const externalData = [...files].filter(([path]) => path !== "").map(([path, data]) => ({ path, data }));
  return ort.InferenceSession.create(files.get("") ?? new Uint8Array(), { externalData });
}

export function tensorsOf(feeds: Feeds): Tensors {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data as never, dims)]),
  );
}

export function numbersOf(tensor: ort.Tensor | undefined): Float32Array {
  if (tensor === undefined) throw new Error("no such output");
  if (tensor.type === "float16") return fromHalf(new Uint16Array((tensor.data as Uint16Array).buffer));
  return tensor.data as Float32Array;
}

/** What a next run takes from the last one. */
export function stateOf({ stateBindings }: GeneratedPart, outputs: Tensors): Tensors {
  const pairs = Object.entries(stateBindings).map(([input, output]) => [input, outputs[output] as ort.Tensor]);
  return Object.fromEntries(pairs);
}
