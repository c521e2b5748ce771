import type { HostProfile } from "../../../../src/shard/host-profile.ts";
import { floats, longs, model, type Node, node, type Tensor } from "../build.ts";

/** An encoder–decoder in one file whose layers differ much: hidden widths of the MLP by layer. */
export const ENCODER = [32, 32, 640, 32] as const;
export const DECODER = [320, 32, 32, 960] as const;
export const WIDTH = 32;
export const VOCABULARY = 900;
const TOKENS = 4;

export interface Part {
  readonly component: "embedding" | "encoder" | "decoder" | "head";
  /** Which layer of all; null outside of the layers. */
  readonly layer: number | null;
  /** Bytes of weights that a run reads. */
  readonly bytes: number;
}

/** Every node with weights of the model, by its name, counted by hand. */
export const PARTS: ReadonlyMap<string, Part> = new Map<string, Part>([
  ["/embeddings/Gather", { component: "embedding", layer: null, bytes: TOKENS * WIDTH * 4 }],
  ...layerParts("encoder", ENCODER, 0),
  ...layerParts("decoder", DECODER, ENCODER.length),
  ["/lm_head/MatMul", { component: "head", layer: null, bytes: WIDTH * VOCABULARY * 4 }],
]);
export const LAYERS = ENCODER.length + DECODER.length;

function layerParts(component: "encoder" | "decoder", widths: readonly number[], first: number): [string, Part][] {
  return widths.flatMap((width, i) =>
    ["up", "down"].map((part): [string, Part] => [
      `/${component}/layers.${i}/${part}/MatMul`,
      { component, layer: first + i, bytes: WIDTH * width * 4 },
    ]),
  );
}

export function unevenModel(): Uint8Array {
  const nodes: Node[] = [{ ...node("Gather", "table input_ids", "h"), name: "/embeddings/Gather" }];
  const weights: Tensor[] = [floats("table", [VOCABULARY, WIDTH]), longs("unused", [1])];
  let h = "h";
  for (const [stack, widths] of Object.entries({ encoder: ENCODER, decoder: DECODER })) {
    for (const [i, width] of widths.entries()) {
      const p = `/${stack}/layers.${i}`;
      weights.push(floats(`${p}.u`, [WIDTH, width]), floats(`${p}.d`, [width, WIDTH]));
      nodes.push({ ...node("MatMul", `${h} ${p}.u`, `${p}.1`), name: `${p}/up/MatMul` });
      nodes.push({ ...node("Relu", `${p}.1`, `${p}.2`), name: `${p}/Relu` });
      nodes.push({ ...node("MatMul", `${p}.2 ${p}.d`, `${p}.3`), name: `${p}/down/MatMul` });
      nodes.push({ ...node("Tanh", `${p}.3`, `${p}.out`), name: `${p}/Tanh` });
      h = `${p}.out`;
    }
  }
  weights.push(floats("head", [WIDTH, VOCABULARY]));
  nodes.push({ ...node("MatMul", `${h} head`, "logits"), name: "/lm_head/MatMul" });
  return model({
    inputs: [`input_ids:int64:1,${TOKENS}`],
    outputs: [`logits:float:1,${TOKENS},${VOCABULARY}`],
    nodes,
    weights: weights.filter(({ name }) => name !== "unused"),
  });
}

/** A host so slow at reading weights that nothing else counts; `speed` 2 is twice as fast. */
export function hostOf(browserType: string, speed: number, more: Partial<HostProfile> = {}): HostProfile {
  return {
    browserType,
    provider: "wasm",
    memoryBytes: 64 * 2 ** 20,
    bufferBytesMax: null,
    threads: 1,
    flopsPerMs: 1e9,
    bytesPerMs: 1000 * speed,
    hopMs: 0.1,
    hopBytesPerMs: 1e6,
    ...more,
  };
}
