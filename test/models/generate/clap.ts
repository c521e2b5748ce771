import { bertLayer, textEmbeddings } from "./bert.ts";
import { Builder } from "./builder.ts";
import { type FullFeedOptions, longs, signal, tokens } from "./feeds.ts";
import { dotted, linear } from "./linear.ts";
import type { Draft } from "./model.ts";
import { type Resolved, SETTINGS } from "./options.ts";
import { first, layerNorm, paddingMask, reduce } from "./parts.ts";
import { type Grid, patchMerging, swinLayer } from "./swin.ts";
import { jointHead } from "./two-towers.ts";
import { patchTokens } from "./vit.ts";

/** Where RoBERTa's positions begin. */
const POSITION_OFFSET = 2;

/** ClapModel: a Swin tower over a spectrogram as HTSAT reads it, and a RoBERTa text tower, compared. */
export function clap(o: Resolved): Draft[] {
  const g = new Builder({ opset: o.opset, seed: o.seed, ...SETTINGS[o.dtype], constants: "nodes" });
  const ids = g.input("input_ids", "int64", ["text_batch_size", "sequence_length"]);
  const sound = g.floatInput("input_features", ["audio_batch_size", 1, o.frames, o.mels]);
  const attention = g.input("attention_mask", "int64", ["text_batch_size", "sequence_length"]);
  const heard = audioTower(g, o, sound);
  const audio = projection(g, "/audio_projection", heard, o.hidden * 2, o.hidden);
  const text = projection(g, "/text_projection", textTower(g, o, ids, attention), o.hidden, o.hidden);
  jointHead(g, o, { kind: "audio", embeds: audio, text });
  const feeds = (_kind: string, { seed, batch, length }: FullFeedOptions) => ({
    input_ids: tokens("input_ids", seed, [batch + 1, length], o.vocab),
    input_features: signal("input_features", seed, [batch, 1, o.frames, o.mels]),
    attention_mask: longs([batch + 1, length], () => 1),
  });
  return [{ role: "model", path: "model.onnx", graph: g, feeds }];
}

/** Two stages of windowed attention; between them four neighbours become one token of twice the width. */
function audioTower(g: Builder, o: Resolved, sound: string): string {
  const path = "/audio_model/audio_encoder";
  const bins = g.op(`${path}/Transpose`, [sound], { perm: [0, 3, 2, 1] });
  const stats = [
    ["weight", 1],
    ["bias", 0],
    ["running_mean", 0],
    ["running_var", 1],
  ] as const;
  const norms = stats.map(([name, center]) => g.noise(`${dotted(path)}.batch_norm.${name}`, [o.mels], 0.1, center));
  const even = g.op(`${path}/batch_norm/BatchNormalization`, [bins, ...norms], { epsilon: { float: 1e-5 } });
  const picture = g.op(`${path}/Transpose`, [even], { perm: [0, 3, 2, 1] });
  const embed = `${path}/patch_embed`;
  let x = patchTokens(g, embed, `${embed}/proj`, picture, o, { channels: 1 });
  x = layerNorm(g, `${embed}/norm`, x, o.hidden);
  const fine = { rows: o.frames / o.patch, columns: o.mels / o.patch, width: o.hidden, heads: o.heads };
  const coarse = { rows: fine.rows / 2, columns: fine.columns / 2, width: o.hidden * 2, heads: o.heads * 2 };
  const half = Math.ceil(o.layers / 2);
  const stage = (index: number, blocks: number, grid: Grid): void => {
    for (let i = 0; i < blocks; i++) x = swinLayer(g, `${path}/layers.${index}/blocks.${i}`, x, grid, o, i % 2 === 1);
  };
  stage(0, half, fine);
  x = patchMerging(g, `${path}/layers.0/downsample`, x, fine);
  stage(1, o.layers - half, coarse);
  return reduce(g, `${path}/avgpool/ReduceMean`, layerNorm(g, `${path}/norm`, x, coarse.width), [1], 0);
}

function textTower(g: Builder, o: Resolved, ids: string, attention: string): string {
  const path = "/text_model";
  const kinds = g.op(`${path}/Expand`, [[0], g.op(`${path}/Shape`, [ids])]);
  const mask = paddingMask(g, path, attention);
  let x = textEmbeddings(g, `${path}/embeddings`, o, { ids, kinds, offset: POSITION_OFFSET });
  for (let i = 0; i < o.otherLayers; i++) x = bertLayer(g, `${path}/encoder/layer.${i}`, x, mask, o);
  const pooled = linear(g, `${path}/pooler/dense`, first(g, `${path}/pooler`, x), o.hidden, o.hidden, { bias: true });
  return g.op(`${path}/pooler/activation/Tanh`, [pooled]);
}

function projection(g: Builder, path: string, x: string, from: number, to: number): string {
  const inner = g.op(`${path}/activation/Relu`, [linear(g, `${path}/linear1`, x, from, to, { bias: true })]);
  return linear(g, `${path}/linear2`, inner, to, to, { bias: true });
}
