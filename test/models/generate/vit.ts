import { Builder, type Operand } from "./builder.ts";
import { type FullFeedOptions, signal } from "./feeds.ts";
import { conv, dotted, gemm } from "./linear.ts";
import type { Draft } from "./model.ts";
import { type Resolved, SETTINGS } from "./options.ts";
import { dim, first, gelu, layerNorm, shape } from "./parts.ts";
import { type LayerNames, preNormLayer } from "./pre-norm.ts";

const CHANNELS = 3;
const CLASSES = 10;

const NAMES: LayerNames = {
  norm: "layernorm_before",
  attention: "attention/attention",
  query: "attention/attention/query",
  key: "attention/attention/key",
  value: "attention/attention/value",
  out: "attention/output/dense",
  mlpNorm: "layernorm_after",
  up: "intermediate/dense",
  active: "intermediate/intermediate_act_fn",
  down: "output/dense",
  keyBias: true,
};

/** ViTForImageClassification: patches by convolution, a class token, learned positions. */
export function vit(o: Resolved): Draft[] {
  const g = new Builder({ opset: o.opset, seed: o.seed, ...SETTINGS[o.dtype], constants: "nodes" });
  const dims = [CHANNELS, o.image, o.image];
  const pixels = g.floatInput("pixel_values", ["batch_size", ...dims]);
  const path = "/vit/embeddings";
  const patches = patchTokens(g, `${path}/patch_embeddings`, `${path}/patch_embeddings/projection`, pixels, o);
  const tokens = withClassToken(g, path, `${dotted(path)}.cls_token`, patches, o.hidden);
  const places = g.noise(`${dotted(path)}.position_embeddings`, [1, patchCount(o) + 1, o.hidden], 0.5);
  let x = g.op(`${path}/Add`, [tokens, places]);
  for (let i = 0; i < o.layers; i++) x = preNormLayer(g, `/vit/encoder/layer.${i}`, x, o, NAMES, { activation: gelu });
  const logits = gemm(g, "/classifier", first(g, "", layerNorm(g, "/vit/layernorm", x, o.hidden)), o.hidden, CLASSES);
  g.floatOutput(logits, "logits", ["batch_size", CLASSES]);
  const feeds = (_kind: string, { seed, batch }: FullFeedOptions) => ({
    pixel_values: signal("pixel_values", seed, [batch, ...dims]),
  });
  return [{ role: "model", path: "model.onnx", graph: g, feeds }];
}

export function patchCount({ image, patch }: Resolved): number {
  return (image / patch) ** 2;
}

/** A picture as [batch, patches, hidden]: a convolution that steps by its own size. */
export function patchTokens(
  g: Builder,
  scope: string,
  path: string,
  x: string,
  { patch, hidden }: Resolved,
  { channels = CHANNELS, bias = true }: { readonly channels?: number; readonly bias?: boolean } = {},
): string {
  const sides = [patch, patch];
  const shape = { from: channels, to: hidden, kernel: sides, strides: sides, pads: [0, 0, 0, 0], bias };
  const made = conv(g, path, x, shape);
  const to = g.op(`${scope}/Concat`, [g.op(`${scope}/Slice`, [g.op(`${scope}/Shape`, [made]), [0], [2], [0]]), [-1]], {
    axis: 0,
  });
  return g.op(`${scope}/Transpose`, [g.op(`${scope}/Reshape`, [made, to])], { perm: [0, 2, 1] });
}

/** A learned token before all others. */
export function withClassToken(g: Builder, scope: string, name: string, x: string, hidden: number): string {
  const token = g.noise(name, [1, 1, hidden], 1);
  const to: Operand = shape(g, scope, [dim(g, scope, x, 0), 1, hidden]);
  return g.op(`${scope}/Concat`, [g.op(`${scope}/Expand`, [token, to]), x], { axis: 1 });
}
