import { Builder } from "./builder.ts";
import { type FullFeedOptions, longs, tokens } from "./feeds.ts";
import { dotted, gemm, linear } from "./linear.ts";
import type { Draft } from "./model.ts";
import { type Resolved, SETTINGS } from "./options.ts";
import { attend, dim, first, gelu, layerNorm, paddingMask, splitHeads } from "./parts.ts";

const CLASSES = 3;

/** BertForSequenceClassification as optimum exports it: post-norm, absolute positions, pooler, classifier. */
export function bert(options: Resolved): Draft[] {
  const { opset, seed, dtype, layers, hidden, vocab } = options;
  const g = new Builder({ opset, seed, ...SETTINGS[dtype], constants: "nodes" });
  const dims = ["batch_size", "sequence_length"];
  const ids = g.input("input_ids", "int64", dims);
  const attention = g.input("attention_mask", "int64", dims);
  const kinds = g.input("token_type_ids", "int64", dims);
  const mask = paddingMask(g, "/bert", attention);
  let x = textEmbeddings(g, "/bert/embeddings", options, { ids, kinds, offset: 0 });
  for (let i = 0; i < layers; i++) x = bertLayer(g, `/bert/encoder/layer.${i}`, x, mask, options);
  const pooled = first(g, "/bert/pooler", x);
  const pooler = g.op("/bert/pooler/activation/Tanh", [gemm(g, "/bert/pooler/dense", pooled, hidden, hidden)]);
  const logits = gemm(g, "/classifier", pooler, hidden, CLASSES, { range: 1 });
  g.floatOutput(logits, "logits", ["batch_size", CLASSES]);
  const feeds = (_kind: string, { seed, batch, length }: FullFeedOptions) => ({
    input_ids: tokens("input_ids", seed, [batch, length], vocab),
    attention_mask: longs([batch, length], () => 1),
    token_type_ids: longs([batch, length], (index) => (index % length >= length / 2 ? 1 : 0)),
  });
  return [{ role: "model", path: "model.onnx", graph: g, feeds }];
}

export interface TextInputs {
  readonly ids: string;
  readonly kinds: string;
  /** RoBERTa's positions begin behind the padding token's. */
  readonly offset: number;
}

/** Word, type and position embeddings, summed and normalised. */
export function textEmbeddings(g: Builder, path: string, o: Resolved, { ids, kinds, offset }: TextInputs): string {
  const table = (name: string, rows: number): string => g.noise(`${dotted(path)}.${name}.weight`, [rows, o.hidden], 1);
  const words = g.op(`${path}/word_embeddings/Gather`, [table("word_embeddings", o.vocab), ids]);
  const types = g.op(`${path}/token_type_embeddings/Gather`, [table("token_type_embeddings", 2), kinds]);
  const range = Array.from({ length: o.context }, (_, index) => index + offset);
  const all = g.int64(`${dotted(path)}.position_ids`, [1, o.context], range);
  const end = g.op(`${path}/Unsqueeze`, [dim(g, path, ids, 1), [0]]);
  const positions = g.op(`${path}/Slice`, [all, [0], end, [1]]);
  const places = table("position_embeddings", o.context + offset);
  const placed = g.op(`${path}/position_embeddings/Gather`, [places, positions]);
  const sum = g.op(`${path}/Add`, [g.op(`${path}/Add`, [words, types]), placed]);
  return layerNorm(g, `${path}/LayerNorm`, sum, o.hidden);
}

export function bertLayer(g: Builder, path: string, x: string, mask: string, o: Resolved): string {
  const { hidden, headDim, intermediate } = o;
  const heads = { count: o.heads, size: headDim };
  const inner = heads.count * heads.size;
  const self = `${path}/attention/self`;
  const project = (name: string): string =>
    splitHeads(g, self, linear(g, `${self}/${name}`, x, hidden, inner, { bias: true }), heads);
  const attended = attend(g, self, [project("query"), project("key"), project("value")], heads, { mask });
  const out = linear(g, `${path}/attention/output/dense`, attended, inner, hidden, { bias: true });
  const sum = g.op(`${path}/attention/output/Add`, [out, x]);
  const y = layerNorm(g, `${path}/attention/output/LayerNorm`, sum, hidden);
  const up = linear(g, `${path}/intermediate/dense`, y, hidden, intermediate, { bias: true });
  const active = gelu(g, `${path}/intermediate/intermediate_act_fn`, up);
  const down = linear(g, `${path}/output/dense`, active, intermediate, hidden, { bias: true });
  return layerNorm(g, `${path}/output/LayerNorm`, g.op(`${path}/output/Add`, [down, y]), hidden);
}
