import type { Builder } from "./builder.ts";
import { dotted, linear } from "./linear.ts";
import { embeddingTable, llamaInputs, present } from "./llama.ts";
import type { Resolved } from "./options.ts";
import { reduce } from "./parts.ts";
import { INT32 } from "./weights.ts";

const THETA = 10_000;
const EPSILON = { epsilon: { float: 1e-5 } };

/** As onnxruntime-genai writes it: GroupQueryAttention that rotates too, norms fused with the residual sum. */
export function llamaFused(g: Builder, o: Resolved): void {
  llamaInputs(g, o, false);
  const table = embeddingTable(g, o);
  const embedded = g.op("/model/embed_tokens/Gather", [table, "input_ids"]);
  const lengths = sequenceLengths(g);
  const caches = rotaryCaches(g, o);
  const norm = (path: string): string => {
    const name = `${dotted(path)}.weight`;
    return g.noise(name, [o.hidden], 0.2, 1, path.includes("final_norm") ? "model.norm.weight" : name);
  };
  const begin = "/model/layers.0/input_layernorm";
  let y = g.op(`${begin}/LayerNorm:SimplifiedLayerNormalization`, [embedded, norm(begin)], { axis: -1, ...EPSILON });
  let x = embedded;
  /** Adds to the residual stream; returns it normalised. */
  const join = (path: string, value: string): string => {
    const kind = "SkipSimplifiedLayerNormalization";
    const outputs = g.ops(`${path}/SkipLayerNorm:${kind}`, 4, [x, value, norm(path)], EPSILON);
    x = outputs[3] as string;
    return outputs[0] as string;
  };
  for (let i = 0; i < o.layers; i++) {
    const path = `/model/layers.${i}`;
    const last = i === o.layers - 1;
    y = join(`${path}/post_attention_layernorm`, attention(g, o, i, y, [...lengths, ...caches]));
    y = join(last ? `${path}/final_norm_layernorm` : `/model/layers.${i + 1}/input_layernorm`, mlp(g, o, i, y));
  }
  const logits = o.tied
    ? g.op("/lm_head/MatMul", [y, g.op("/lm_head/Transpose", [table], { perm: [1, 0] })])
    : linear(g, "/lm_head", y, o.hidden, o.vocab, { weight: "lm_head.MatMul.weight" });
  g.floatOutput(logits, "logits", ["batch_size", "sequence_length", o.vocab]);
}

function attention(g: Builder, o: Resolved, i: number, y: string, tail: readonly string[]): string {
  const path = `/model/layers.${i}/attn`;
  const weight = (name: string): string => `model.layers.${i}.attn.${name}.MatMul.weight`;
  // The plain variant's scope: both are the same function.
  const source = (name: string): string => `/model/layers.${i}/self_attn/${name}`;
  const project = (name: string, heads: number): string =>
    linear(g, `${path}/${name}`, y, o.hidden, heads * o.headDim, { weight: weight(name), source: source(name) });
  const [q, k, v] = [project("q_proj", o.heads), project("k_proj", o.kvHeads), project("v_proj", o.kvHeads)];
  const past = ["key", "value"].map((part) => `past_key_values.${i}.${part}`);
  const attributes = { num_heads: o.heads, kv_num_heads: o.kvHeads, do_rotary: 1, rotary_interleaved: 0 };
  const scale = { float: 1 / Math.sqrt(o.headDim) };
  const [attended = "", key = "", value = ""] = g.ops(`${path}/GroupQueryAttention`, 3, [q, k, v, ...past, ...tail], {
    ...attributes,
    scale,
  });
  present(g, key, `${i}.key`, o);
  present(g, value, `${i}.value`, o);
  const strength = 1 / Math.sqrt(2 * o.layers);
  return linear(g, `${path}/o_proj`, attended, o.heads * o.headDim, o.hidden, {
    strength,
    weight: weight("o_proj"),
    source: source("o_proj"),
  });
}

function mlp(g: Builder, o: Resolved, i: number, y: string): string {
  const path = `/model/layers.${i}/mlp`;
  const project = (name: string, x: string, from: number, to: number, strength = 1): string =>
    linear(g, `${path}/${name}`, x, from, to, {
      strength,
      range: from === o.hidden ? 4 : 8,
      weight: `model.layers.${i}.mlp.${name}.MatMul.weight`,
    });
  const gate = project("gate_proj", y, o.hidden, o.intermediate);
  const up = project("up_proj", y, o.hidden, o.intermediate);
  const active = g.op(`${path}/act_fn/Mul`, [gate, g.op(`${path}/act_fn/Sigmoid`, [gate])]);
  return project("down_proj", g.op(`${path}/Mul`, [active, up]), o.intermediate, o.hidden, 1 / Math.sqrt(o.layers));
}

/** Keys of each sequence less one, and of the longest: int32, from the mask. */
function sequenceLengths(g: Builder): [string, string] {
  const path = "/model/attn_mask_reformat/attn_mask_subgraph";
  const sum = reduce(g, `${path}/ReduceSum`, "attention_mask", [1], 0);
  const keys = g.op(`${path}/Sub/Cast`, [g.op(`${path}/Sub`, [sum, [1]])], { to: INT32 });
  const total = g.op(`${path}/Gather`, [g.op(`${path}/Shape`, ["attention_mask"]), 1], { axis: 0 });
  return [keys, g.op(`${path}/Gather/Cast`, [total], { to: INT32 })];
}

function rotaryCaches(g: Builder, { context, headDim }: Resolved): [string, string] {
  const half = headDim / 2;
  const angle = (index: number): number => Math.floor(index / half) * THETA ** (-(index % half) / half);
  return [
    g.table("cos_cache", [context, half], (index) => Math.cos(angle(index))),
    g.table("sin_cache", [context, half], (index) => Math.sin(angle(index))),
  ];
}
