import { Builder } from "./builder.ts";
import { type FullFeedOptions, signal, tokens } from "./feeds.ts";
import { conv } from "./linear.ts";
import { type Cache, cacheBindings, mergeDecoders, mergedFeeds, NO_CACHE } from "./merged.ts";
import type { Draft } from "./model.ts";
import { type Resolved, SETTINGS } from "./options.ts";
import { attend, causalMask, dim, gelu, layerNorm } from "./parts.ts";
import { addProjected, type LayerNames, mlp, preNormLayer, projectHeads } from "./pre-norm.ts";

const NAMES: LayerNames = {
  norm: "self_attn_layer_norm",
  attention: "self_attn",
  query: "self_attn/q_proj",
  key: "self_attn/k_proj",
  value: "self_attn/v_proj",
  out: "self_attn/out_proj",
  mlpNorm: "final_layer_norm",
  up: "fc1",
  active: "activation_fn",
  down: "fc2",
  keyBias: false,
};

/** WhisperForConditionalGeneration: two convolutions over a spectrogram, an encoder, and a decoder that attends to it. */
export function whisper(o: Resolved): Draft[] {
  const graph = (): Builder => new Builder({ opset: o.opset, seed: o.seed, ...SETTINGS[o.dtype], constants: "nodes" });
  const sound = (seed: number, batch: number) => signal("input_features", seed, [batch, o.mels, o.frames]);
  const length = Math.floor((o.frames - 1) / 2) + 1;
  const hidden = ["batch_size", length, o.hidden];
  const g = graph();
  if (o.form === "one") {
    const features = encoder(g, "/model/encoder", o, length);
    const ids = g.input("decoder_input_ids", "int64", ["batch_size", "decoder_sequence_length"]);
    const logits = decoder(g, o, { ids, features, cache: NO_CACHE });
    g.floatOutput(logits, "logits", ["batch_size", "decoder_sequence_length", o.vocab]);
    g.floatOutput(features, "encoder_last_hidden_state", hidden);
    const feeds = (_kind: string, { seed, batch, length: count }: FullFeedOptions) => ({
      input_features: sound(seed, batch),
      decoder_input_ids: tokens("input_ids", seed, [batch, count], o.vocab),
    });
    return [{ role: "model", path: "model.onnx", graph: g, feeds }];
  }
  g.floatOutput(encoder(g, "", o, length), "last_hidden_state", hidden);
  const merged = graph();
  const ids = merged.input("input_ids", "int64", ["batch_size", "decoder_sequence_length"]);
  const features = merged.floatInput("encoder_hidden_states", hidden);
  mergeDecoders(merged, o, (branch, cache) => decoder(branch, o, { ids, features, cache }));
  return [
    {
      role: "encoder",
      path: "encoder_model.onnx",
      graph: g,
      feeds: (_kind, { seed, batch }) => ({ input_features: sound(seed, batch) }),
    },
    {
      role: "decoder",
      path: "decoder_model_merged.onnx",
      graph: merged,
      feeds: (kind, wanted) => ({
        ...mergedFeeds(merged, o, kind, wanted),
        encoder_hidden_states: signal("hidden", wanted.seed, [wanted.batch, length, o.hidden]),
      }),
      stateBindings: cacheBindings(o),
      links: { encoder_hidden_states: { role: "encoder", output: "last_hidden_state" } },
    },
  ];
}

function encoder(g: Builder, path: string, o: Resolved, length: number): string {
  const sound = g.floatInput("input_features", ["batch_size", o.mels, o.frames]);
  const shape = { to: o.hidden, kernel: [3], pads: [1, 1] };
  const one = gelu(g, path, conv(g, `${path}/conv1`, sound, { ...shape, from: o.mels, strides: [1] }));
  const two = gelu(g, path, conv(g, `${path}/conv2`, one, { ...shape, from: o.hidden, strides: [2] }));
  const places = g.noise(`${path.slice(1)}embed_positions.weight`, [length, o.hidden], 0.5);
  let x = g.op(`${path}/Add`, [g.op(`${path}/Transpose`, [two], { perm: [0, 2, 1] }), places]);
  for (let i = 0; i < o.layers; i++) x = preNormLayer(g, `${path}/layers.${i}`, x, o, NAMES, { activation: gelu });
  return layerNorm(g, `${path}/layer_norm`, x, o.hidden);
}

interface DecoderInputs {
  readonly ids: string;
  readonly features: string;
  readonly cache: Cache;
}

/** The logits. */
function decoder(g: Builder, o: Resolved, { ids, features, cache }: DecoderInputs): string {
  const path = "/model/decoder";
  // The output projection is the embedding table: weak enough for logits of unit variance.
  const table = g.noise("model.decoder.embed_tokens.weight", [o.vocab, o.hidden], Math.sqrt(3 / o.hidden));
  const words = g.op(`${path}/embed_tokens/Gather`, [table, ids]);
  const count = dim(g, path, ids, 1);
  const past = cache.past ? dim(g, path, cache.of("0.decoder.key"), 2) : 0;
  const places = g.noise("model.decoder.embed_positions.weight", [o.context, o.hidden], Math.sqrt(3 / o.hidden));
  const [from, to] = [past, past === 0 ? count : g.op(`${path}/Add`, [past, count])].map((at) =>
    typeof at === "number" ? [at] : g.op(`${path}/embed_positions/Unsqueeze`, [at, [0]]),
  ) as [string, string];
  const placed = g.op(`${path}/embed_positions/Slice`, [places, from, to, [0]]);
  const mask = causalMask(g, path, past, count);
  let x = g.op(`${path}/Add`, [words, placed]);
  for (let i = 0; i < o.otherLayers; i++) x = decoderLayer(g, o, i, x, { mask, features, cache });
  const y = layerNorm(g, `${path}/layer_norm`, x, o.hidden);
  return g.op("/proj_out/MatMul", [y, g.op("/proj_out/Transpose", [table], { perm: [1, 0] })]);
}

function decoderLayer(
  g: Builder,
  o: Resolved,
  i: number,
  x: string,
  { mask, features, cache }: Omit<DecoderInputs, "ids"> & { readonly mask: string },
): string {
  const path = `/model/decoder/layers.${i}`;
  const heads = { count: o.heads, size: o.headDim };
  const size = { ...o, layers: o.otherLayers };
  const inner = heads.count * heads.size;
  const project = (name: string, from: string, bias = true): string =>
    projectHeads(g, `${path}/${name.split("/")[0]}`, `${path}/${name}`, from, o.hidden, heads, bias);
  const own = (part: "key" | "value", value: string): string => {
    const name = `${i}.decoder.${part}`;
    const all = cache.past ? g.op(`${path}/self_attn/Concat`, [cache.of(name), value], { axis: 2 }) : value;
    return cache.keep(name, all);
  };
  const y = layerNorm(g, `${path}/self_attn_layer_norm`, x, o.hidden);
  const [k, v] = [own("key", project("self_attn/k_proj", y, false)), own("value", project("self_attn/v_proj", y))];
  const seen = attend(g, `${path}/self_attn`, [project("self_attn/q_proj", y), k, v], heads, { mask });
  const middle = addProjected(g, path, `${path}/self_attn/out_proj`, x, seen, inner, size);
  const cross = (part: "key" | "value"): string => {
    const name = `${i}.encoder.${part}`;
    if (cache.past) return cache.of(name);
    return cache.keep(name, project(`encoder_attn/${part === "key" ? "k" : "v"}_proj`, features, part === "value"));
  };
  const z = layerNorm(g, `${path}/encoder_attn_layer_norm`, middle, o.hidden);
  const q = project("encoder_attn/q_proj", z);
  const heard = attend(g, `${path}/encoder_attn`, [q, cross("key"), cross("value")], heads, { mask: "" });
  const joined = addProjected(g, path, `${path}/encoder_attn/out_proj`, middle, heard, inner, size);
  return mlp(g, path, joined, size, NAMES, gelu);
}
