import { Builder, type Dim } from "./builder.ts";
import { type Feed, type Feeds, type FullFeedOptions, longs, tokens, zeros } from "./feeds.ts";
import { linear } from "./linear.ts";
import { llamaFused } from "./llama-fused.ts";
import type { Draft, FeedKind } from "./model.ts";
import { type Resolved, SETTINGS } from "./options.ts";
import { attend, dim, type Heads, lowest, rmsNorm, shape, splitHeads } from "./parts.ts";
import { FLOAT, FLOAT16 } from "./weights.ts";

const THETA = 10_000;

/** LlamaForCausalLM with grouped-query attention and a KV cache. */
export function llama(options: Resolved): Draft[] {
  const { opset, seed, dtype, variant, layers } = options;
  const isFused = variant === "fused";
  const g = new Builder({ opset, seed, ...SETTINGS[dtype], constants: isFused ? "shared" : "nodes" });
  if (isFused) llamaFused(g, options);
  else llamaPlain(g, options);
  const names = Array.from({ length: layers }, (_, index) => [`${index}.key`, `${index}.value`]).flat();
  const stateBindings = Object.fromEntries(names.map((name) => [`past_key_values.${name}`, `present.${name}`]));
  const feeds = (kind: FeedKind, wanted: FullFeedOptions): Feeds => {
    const { position_ids, ...rest } = llamaFeeds(kind, wanted, options);
    const { kvHeads, headDim } = options;
    const empty = kind === "first" ? Object.keys(stateBindings) : [];
    const state = empty.map((name) => [name, zeros(g, [wanted.batch, kvHeads, 0, headDim])] as const);
    return { ...rest, ...(isFused ? {} : { position_ids }), ...Object.fromEntries(state) };
  };
  return [{ role: "model", path: "model.onnx", graph: g, feeds, stateBindings }];
}

function llamaFeeds(kind: FeedKind, { seed, batch, length, past }: FullFeedOptions, { vocab }: Resolved) {
  const [at, count] = kind === "first" ? [0, length] : [past, 1];
  const position_ids: Feed = longs([batch, count], (index) => at + (index % count));
  const input_ids = tokens("input_ids", seed, [batch, count], vocab, at);
  return { input_ids, attention_mask: longs([batch, at + count], () => 1), position_ids };
}

/** The inputs that both variants have. */
export function llamaInputs(g: Builder, { layers, kvHeads, headDim }: Resolved, withPositions: boolean): void {
  const type = g.settings.float === FLOAT ? "float" : "float16";
  g.input("input_ids", "int64", ["batch_size", "sequence_length"]);
  g.input("attention_mask", "int64", ["batch_size", "total_sequence_length"]);
  if (withPositions) g.input("position_ids", "int64", ["batch_size", "sequence_length"]);
  const dims: Dim[] = ["batch_size", kvHeads, "past_sequence_length", headDim];
  for (let i = 0; i < layers; i++)
    for (const part of ["key", "value"]) g.input(`past_key_values.${i}.${part}`, type, dims);
}

/** Gives a layer's new cache out; returns its name. */
export function present(g: Builder, value: string, name: string, { kvHeads, headDim }: Resolved): string {
  const type = g.settings.float === FLOAT ? "float" : "float16";
  return g.output(value, `present.${name}`, type, ["batch_size", kvHeads, "total_sequence_length", headDim]);
}

/** A tied table is the output projection too: weak enough for logits of unit variance. */
export function embeddingTable(g: Builder, { vocab, hidden, tied }: Resolved): string {
  return g.noise("model.embed_tokens.weight", [vocab, hidden], tied ? Math.sqrt(3 / hidden) : 1);
}

function llamaPlain(g: Builder, o: Resolved): void {
  llamaInputs(g, o, true);
  const table = embeddingTable(g, o);
  let x = g.op("/model/embed_tokens/Gather", [table, "input_ids"]);
  const rotary = rotaryTables(g, o);
  const mask = causalPaddingMask(g);
  for (let i = 0; i < o.layers; i++) x = layer(g, o, i, x, rotary, mask);
  x = rmsNorm(g, "/model/norm", x, o.hidden);
  const logits = o.tied
    ? g.op("/lm_head/MatMul", [x, g.op("/lm_head/Transpose", [table], { perm: [1, 0] })])
    : linear(g, "/lm_head", x, o.hidden, o.vocab);
  g.floatOutput(logits, "logits", ["batch_size", "sequence_length", o.vocab]);
}

type Rotary = readonly [cos: string, sin: string];

function layer(g: Builder, o: Resolved, i: number, x: string, rotary: Rotary, mask: string): string {
  const path = `/model/layers.${i}`;
  const attention = `${path}/self_attn`;
  const [heads, kvHeads] = [o.heads, o.kvHeads].map((count) => ({ count, size: o.headDim })) as [Heads, Heads];
  const y = rmsNorm(g, `${path}/input_layernorm`, x, o.hidden);
  const project = (name: string, to: Heads): string =>
    splitHeads(g, attention, linear(g, `${attention}/${name}`, y, o.hidden, to.count * to.size), to);
  const q = rotate(g, attention, project("q_proj", heads), rotary, o);
  const cached = (name: string, value: string): string => {
    const all = g.op(`${attention}/Concat`, [`past_key_values.${i}.${name}`, value], { axis: 2 });
    return repeat(g, attention, present(g, all, `${i}.${name}`, o), o);
  };
  const k = cached("key", rotate(g, attention, project("k_proj", kvHeads), rotary, o));
  const v = cached("value", project("v_proj", kvHeads));
  const attended = attend(g, attention, [q, k, v], heads, { mask });
  const strength = 1 / Math.sqrt(2 * o.layers);
  const out = linear(g, `${attention}/o_proj`, attended, o.heads * o.headDim, o.hidden, { strength });
  const middle = g.op(`${path}/Add`, [x, out]);
  const z = rmsNorm(g, `${path}/post_attention_layernorm`, middle, o.hidden);
  return g.op(`${path}/Add`, [middle, swiglu(g, `${path}/mlp`, z, o)]);
}

function swiglu(g: Builder, path: string, x: string, { hidden, intermediate, layers }: Resolved): string {
  const gate = linear(g, `${path}/gate_proj`, x, hidden, intermediate);
  const active = g.op(`${path}/act_fn/Mul`, [gate, g.op(`${path}/act_fn/Sigmoid`, [gate])]);
  const both = g.op(`${path}/Mul`, [active, linear(g, `${path}/up_proj`, x, hidden, intermediate)]);
  return linear(g, `${path}/down_proj`, both, intermediate, hidden, { strength: 1 / Math.sqrt(layers), range: 8 });
}

/** cos and sin of position × inverse frequency, [batch, 1, sequence, headDim], in fp32 until the end. */
function rotaryTables(g: Builder, { headDim }: Resolved): Rotary {
  const path = "/model/rotary_emb";
  const half = headDim / 2;
  const positions = g.op(`${path}/Cast`, [g.op(`${path}/Unsqueeze`, ["position_ids", [2]])], { to: FLOAT });
  const frequencies = Array.from({ length: half }, (_, index) => THETA ** (-index / half));
  const inverse = g.floats("model.rotary_emb.inv_freq", [1, 1, half], frequencies);
  const angles = g.op(`${path}/Mul`, [positions, inverse]);
  const both = g.op(`${path}/Concat`, [angles, angles], { axis: -1 });
  const table = (kind: "Cos" | "Sin"): string => {
    const wide = g.op(`${path}/Unsqueeze`, [g.op(`${path}/${kind}`, [both]), [1]]);
    return g.settings.float === FLOAT16 ? g.op(`${path}/Cast`, [wide], { to: FLOAT16 }) : wide;
  };
  return [table("Cos"), table("Sin")];
}

/** [batch, 1, queries, keys]: the lowest number where a key comes later than its query, or is padding. */
function causalPaddingMask(g: Builder): string {
  const path = "/model";
  const past = dim(g, path, "past_key_values.0.key", 2);
  const total = g.op(`${path}/Add`, [past, dim(g, path, "input_ids", 1)]);
  const query = g.op(`${path}/Unsqueeze`, [g.op(`${path}/Range`, [past, total, 1]), [1]]);
  const key = g.op(`${path}/Unsqueeze`, [g.op(`${path}/Range`, [0, total, 1]), [0]]);
  const real = g.op(`${path}/Unsqueeze`, [g.op(`${path}/Cast`, ["attention_mask"], { to: 9 }), [1, 2]]);
  const seen = g.op(`${path}/And`, [g.op(`${path}/LessOrEqual`, [key, query]), real]);
  return g.op(`${path}/Where`, [seen, { f: 0 }, { f: lowest(g) }]);
}

/** x · cos + rotate_half(x) · sin */
function rotate(g: Builder, path: string, x: string, [cos, sin]: Rotary, { headDim }: Resolved): string {
  const low = g.op(`${path}/Slice`, [x, [0], [headDim / 2], [3], [1]]);
  const high = g.op(`${path}/Slice`, [x, [headDim / 2], [Number.MAX_SAFE_INTEGER], [3], [1]]);
  const turned = g.op(`${path}/Concat`, [g.op(`${path}/Neg`, [high]), low], { axis: -1 });
  return g.op(`${path}/Add`, [g.op(`${path}/Mul`, [x, cos]), g.op(`${path}/Mul`, [turned, sin])]);
}

/** Each KV head for as many heads as share it. */
function repeat(g: Builder, path: string, x: string, { heads, kvHeads, headDim }: Resolved): string {
  const share = heads / kvHeads;
  if (share === 1) return x;
  const [batch, total] = [dim(g, path, x, 0), dim(g, path, x, 2)];
  const wide = g.op(`${path}/Unsqueeze`, [x, [2]]);
  const copies = g.op(`${path}/Expand`, [wide, shape(g, path, [batch, kvHeads, share, total, headDim])]);
  return g.op(`${path}/Reshape`, [copies, shape(g, path, [batch, heads, total, headDim])]);
}
