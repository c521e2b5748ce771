import { Builder } from "./builder.ts";
import { type FullFeedOptions, longs, signal, tokens } from "./feeds.ts";
import { linear } from "./linear.ts";
import type { Draft } from "./model.ts";
import { type Resolved, SETTINGS } from "./options.ts";
import { causalMask, dim, first, layerNorm, paddingMask } from "./parts.ts";
import { type Activation, type LayerNames, preNormLayer } from "./pre-norm.ts";
import { jointHead } from "./two-towers.ts";
import { patchCount, patchTokens, withClassToken } from "./vit.ts";

const CHANNELS = 3;

const NAMES: LayerNames = {
  norm: "layer_norm1",
  attention: "self_attn",
  query: "self_attn/q_proj",
  key: "self_attn/k_proj",
  value: "self_attn/v_proj",
  out: "self_attn/out_proj",
  mlpNorm: "layer_norm2",
  up: "mlp/fc1",
  active: "mlp/activation_fn",
  down: "mlp/fc2",
  keyBias: true,
};

/** CLIPModel: a vision tower and a causal text tower whose projections are compared. */
export function clip(o: Resolved): Draft[] {
  const g = new Builder({ opset: o.opset, seed: o.seed, ...SETTINGS[o.dtype], constants: "nodes" });
  const ids = g.input("input_ids", "int64", ["text_batch_size", "sequence_length"]);
  const pixels = g.floatInput("pixel_values", ["image_batch_size", CHANNELS, o.image, o.image]);
  const attention = g.input("attention_mask", "int64", ["text_batch_size", "sequence_length"]);
  const pooled = visionTower(g, o, pixels);
  const image = linear(g, "/visual_projection", pooled, o.hidden, o.hidden);
  const text = linear(g, "/text_projection", textTower(g, o, ids, attention), o.hidden, o.hidden);
  jointHead(g, o, { kind: "image", embeds: image, text });
  const feeds = (_kind: string, { seed, batch, length }: FullFeedOptions) => ({
    input_ids: tokens("input_ids", seed, [batch + 1, length], o.vocab),
    pixel_values: signal("pixel_values", seed, [batch, CHANNELS, o.image, o.image]),
    attention_mask: longs([batch + 1, length], () => 1),
  });
  return [{ role: "model", path: "model.onnx", graph: g, feeds }];
}

const quickGelu: Activation = (g, path, x) =>
  g.op(`${path}/Mul`, [x, g.op(`${path}/Sigmoid`, [g.op(`${path}/Mul`, [x, { f: 1.702 }])])]);

function visionTower(g: Builder, o: Resolved, pixels: string): string {
  const path = "/vision_model/embeddings";
  const patches = patchTokens(g, path, `${path}/patch_embedding`, pixels, o, { channels: CHANNELS, bias: false });
  const tokens = withClassToken(g, path, "vision_model.embeddings.class_embedding", patches, o.hidden);
  const count = patchCount(o) + 1;
  const table = g.noise("vision_model.embeddings.position_embedding.weight", [count, o.hidden], 0.5);
  const range = Array.from({ length: count }, (_, index) => index);
  const all = g.int64("vision_model.embeddings.position_ids", [1, count], range);
  const places = g.op(`${path}/position_embedding/Gather`, [table, all]);
  let x = layerNorm(g, "/vision_model/pre_layrnorm", g.op(`${path}/Add`, [tokens, places]), o.hidden);
  for (let i = 0; i < o.layers; i++)
    x = preNormLayer(g, `/vision_model/encoder/layers.${i}`, x, o, NAMES, { activation: quickGelu });
  return layerNorm(g, "/vision_model/post_layernorm", first(g, "/vision_model", x), o.hidden);
}

/** The final state at the token of the highest id, the end of the text. */
function textTower(g: Builder, o: Resolved, ids: string, attention: string): string {
  const path = "/text_model/embeddings";
  const table = g.noise("text_model.embeddings.token_embedding.weight", [o.vocab, o.hidden], 1);
  const words = g.op(`${path}/token_embedding/Gather`, [table, ids]);
  const count = dim(g, path, ids, 1);
  const positions = g.op(`${path}/Unsqueeze`, [g.op(`${path}/Range`, [0, count, 1]), [0]]);
  const places = g.noise("text_model.embeddings.position_embedding.weight", [o.context, o.hidden], 0.5);
  let x = g.op(`${path}/Add`, [words, g.op(`${path}/position_embedding/Gather`, [places, positions])]);
  const causal = causalMask(g, "/text_model", 0, count);
  const mask = g.op("/text_model/Min", [causal, paddingMask(g, "/text_model", attention)]);
  const size = { ...o, layers: o.otherLayers };
  for (let i = 0; i < o.otherLayers; i++) {
    const options = { mask, activation: quickGelu };
    x = preNormLayer(g, `/text_model/encoder/layers.${i}`, x, size, NAMES, options);
  }
  const y = layerNorm(g, "/text_model/final_layer_norm", x, o.hidden);
  const end = g.op("/text_model/ArgMax", [ids], { axis: -1, keepdims: 1 });
  const rows = g.op("/text_model/Range", [0, dim(g, "/text_model", ids, 0), 1]);
  const places2 = g.op("/text_model/Concat", [g.op("/text_model/Unsqueeze", [rows, [1]]), end], { axis: 1 });
  return g.op("/text_model/GatherND", [y, places2]);
}
