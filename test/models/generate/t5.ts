import { Builder } from "./builder.ts";
import { type FullFeedOptions, longs, signal, tokens } from "./feeds.ts";
import { linear } from "./linear.ts";
import { type Cache, cacheBindings, mergeDecoders, mergedFeeds, NO_CACHE } from "./merged.ts";
import type { Draft } from "./model.ts";
import { type Resolved, SETTINGS } from "./options.ts";
import { attend, causalMask, dim, type Heads, paddingMask, rmsNorm, splitHeads } from "./parts.ts";
import { relativeBias } from "./t5-bias.ts";

/** T5ForConditionalGeneration: relative positions, computed once and added in every layer; RMS norms; no biases. */
export function t5(o: Resolved): Draft[] {
  const graph = (): Builder => new Builder({ opset: o.opset, seed: o.seed, ...SETTINGS[o.dtype], constants: "nodes" });
  const dims = ["batch_size", "encoder_sequence_length"];
  const text = (seed: number, batch: number, length: number) => tokens("encoder_ids", seed, [batch, length], o.vocab);
  const ones = (batch: number, length: number) => longs([batch, length], () => 1);
  const g = graph();
  const [ids, attention] = [g.input("input_ids", "int64", dims), g.input("attention_mask", "int64", dims)];
  if (o.form === "one") {
    const features = encoder(g, "/encoder", o, ids, attention);
    const own = g.input("decoder_input_ids", "int64", ["batch_size", "decoder_sequence_length"]);
    const logits = decoder(g, o, { ids: own, features, attention, cache: NO_CACHE });
    g.floatOutput(logits, "logits", ["batch_size", "decoder_sequence_length", o.vocab]);
    g.floatOutput(features, "encoder_last_hidden_state", [...dims, o.hidden]);
    const feeds = (_kind: string, { seed, batch, length }: FullFeedOptions) => ({
      input_ids: text(seed, batch, length + 2),
      attention_mask: ones(batch, length + 2),
      decoder_input_ids: tokens("input_ids", seed, [batch, length], o.vocab),
    });
    return [{ role: "model", path: "model.onnx", graph: g, feeds }];
  }
  g.floatOutput(encoder(g, "", o, ids, attention), "last_hidden_state", [...dims, o.hidden]);
  const merged = graph();
  const mask = merged.input("encoder_attention_mask", "int64", dims);
  const own = merged.input("input_ids", "int64", ["batch_size", "decoder_sequence_length"]);
  const features = merged.floatInput("encoder_hidden_states", [...dims, o.hidden]);
  mergeDecoders(merged, o, (branch, cache) => decoder(branch, o, { ids: own, features, attention: mask, cache }));
  return [
    {
      role: "encoder",
      path: "encoder_model.onnx",
      graph: g,
      feeds: (_kind, { seed, batch, length }) => ({
        input_ids: text(seed, batch, length + 2),
        attention_mask: ones(batch, length + 2),
      }),
    },
    {
      role: "decoder",
      path: "decoder_model_merged.onnx",
      graph: merged,
      feeds: (kind, wanted) => ({
        ...mergedFeeds(merged, o, kind, wanted),
        encoder_attention_mask: ones(wanted.batch, wanted.length + 2),
        encoder_hidden_states: signal("hidden", wanted.seed, [wanted.batch, wanted.length + 2, o.hidden]),
      }),
      stateBindings: cacheBindings(o),
      links: { encoder_hidden_states: { role: "encoder", output: "last_hidden_state" } },
    },
  ];
}

function embed(g: Builder, path: string, o: Resolved, ids: string): string {
  return g.op(`${path}/embed_tokens/Gather`, [g.noise("shared.weight", [o.vocab, o.hidden], 1), ids]);
}

function encoder(g: Builder, path: string, o: Resolved, ids: string, attention: string): string {
  let x = embed(g, path, o, ids);
  const padding = paddingMask(g, path, attention);
  const count = dim(g, path, ids, 1);
  const scope = `${path}/block.0/layer.0/SelfAttention`;
  const bias = relativeBias(g, scope, o, { queries: count, keys: count, isBidirectional: true });
  const mask = g.op(`${scope}/Add`, [bias, padding]);
  for (let i = 0; i < o.layers; i++) {
    const block = `${path}/block.${i}`;
    const [normed, project] = sublayer(g, `${block}/layer.0`, "SelfAttention", o, x);
    const parts = [project("q", normed), project("k", normed), project("v", normed)] as const;
    x = attendAndAdd(g, `${block}/layer.0`, "SelfAttention", o, x, parts, mask);
    x = feedForward(g, `${block}/layer.1`, o, x);
  }
  return rmsNorm(g, `${path}/final_layer_norm`, x, o.hidden);
}

interface DecoderInputs {
  readonly ids: string;
  readonly features: string;
  readonly attention: string;
  readonly cache: Cache;
}

function decoder(g: Builder, o: Resolved, { ids, features, attention, cache }: DecoderInputs): string {
  const path = "/decoder";
  let x = embed(g, path, o, ids);
  const count = dim(g, path, ids, 1);
  const past = cache.past ? dim(g, path, cache.of("0.decoder.key"), 2) : 0;
  const keys = past === 0 ? count : g.op(`${path}/Add`, [past, count]);
  const scope = `${path}/block.0/layer.0/SelfAttention`;
  const bias = relativeBias(g, scope, o, { queries: count, keys, isBidirectional: false });
  const mask = g.op(`${scope}/Add`, [bias, causalMask(g, path, past, count)]);
  const padding = paddingMask(g, `${path}/encoder`, attention);
  for (let i = 0; i < o.otherLayers; i++) {
    const block = `${path}/block.${i}`;
    const [normed, project] = sublayer(g, `${block}/layer.0`, "SelfAttention", o, x);
    const own = (part: "key" | "value"): string => {
      const name = `${i}.decoder.${part}`;
      const value = project(part === "key" ? "k" : "v", normed);
      const inner = `${block}/layer.0/SelfAttention`;
      return cache.keep(name, cache.past ? g.op(`${inner}/Concat`, [cache.of(name), value], { axis: 2 }) : value);
    };
    x = attendAndAdd(
      g,
      `${block}/layer.0`,
      "SelfAttention",
      o,
      x,
      [project("q", normed), own("key"), own("value")],
      mask,
    );
    const [across, reach] = sublayer(g, `${block}/layer.1`, "EncDecAttention", o, x);
    const cross = (part: "key" | "value"): string => {
      const name = `${i}.encoder.${part}`;
      return cache.past ? cache.of(name) : cache.keep(name, reach(part === "key" ? "k" : "v", features));
    };
    const parts = [reach("q", across), cross("key"), cross("value")] as const;
    x = attendAndAdd(g, `${block}/layer.1`, "EncDecAttention", o, x, parts, padding);
    x = feedForward(g, `${block}/layer.2`, o, x);
  }
  const y = rmsNorm(g, `${path}/final_layer_norm`, x, o.hidden);
  const scaled = g.op(`${path}/Mul`, [y, { f: o.hidden ** -0.5 }]);
  return g.op("/lm_head/MatMul", [scaled, g.op("/lm_head/Transpose", ["shared.weight"], { perm: [1, 0] })]);
}

type Project = (name: "q" | "k" | "v", from: string) => string;

/** The normalised stream, and the projections of an attention. Queries are weak, as T5 does not scale its scores. */
function sublayer(g: Builder, path: string, kind: string, o: Resolved, x: string): [string, Project] {
  const heads: Heads = { count: o.heads, size: o.headDim };
  const project: Project = (name, from) => {
    const strength = name === "q" ? 1 / Math.sqrt(o.headDim) : 1;
    const inner = heads.count * heads.size;
    return splitHeads(
      g,
      `${path}/${kind}`,
      linear(g, `${path}/${kind}/${name}`, from, o.hidden, inner, { strength }),
      heads,
    );
  };
  return [rmsNorm(g, `${path}/layer_norm`, x, o.hidden), project];
}

function attendAndAdd(
  g: Builder,
  path: string,
  kind: string,
  o: Resolved,
  x: string,
  [q, k, v]: readonly [string, string, string],
  mask: string,
): string {
  const heads = { count: o.heads, size: o.headDim };
  const attended = attend(g, `${path}/${kind}`, [q, k, v], heads, { mask, scale: 1 });
  const strength = 1 / Math.sqrt(o.layers);
  const out = linear(g, `${path}/${kind}/o`, attended, heads.count * heads.size, o.hidden, { strength });
  return g.op(`${path}/Add`, [x, out]);
}

function feedForward(g: Builder, path: string, o: Resolved, x: string): string {
  const y = rmsNorm(g, `${path}/layer_norm`, x, o.hidden);
  const inner = `${path}/DenseReluDense`;
  const active = g.op(`${inner}/act/Relu`, [linear(g, `${inner}/wi`, y, o.hidden, o.intermediate)]);
  const strength = 1 / Math.sqrt(o.layers);
  return g.op(`${path}/Add`, [x, linear(g, `${inner}/wo`, active, o.intermediate, o.hidden, { strength })]);
}
