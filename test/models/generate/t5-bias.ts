import type { Builder } from "./builder.ts";
import { dotted } from "./linear.ts";
import type { Resolved } from "./options.ts";
import { FLOAT, INT64 } from "./weights.ts";

const BUCKETS = 32;
const DISTANCE_MAX = 128;

export interface BiasOptions {
  /** Scalars: how many queries there are, the last of all keys. */
  readonly queries: string;
  readonly keys: string;
  readonly isBidirectional: boolean;
}

/**
 * T5's relative position bias, [1, heads, queries, keys]: a learned number for each head and bucket of distances, exact for near
 * keys and logarithmic for far ones.
 */
export function relativeBias(g: Builder, path: string, o: Resolved, options: BiasOptions): string {
  const { queries, keys, isBidirectional } = options;
  const range = g.op(`${path}/Range`, [0, keys, 1]);
  const key = g.op(`${path}/Unsqueeze`, [range, [0]]);
  const query = g.op(`${path}/Unsqueeze`, [range, [1]]);
  const distance = g.op(`${path}/Sub`, [key, query]);
  const buckets = isBidirectional ? BUCKETS / 2 : BUCKETS;
  const near = isBidirectional
    ? g.op(`${path}/Abs`, [distance])
    : g.op(`${path}/Neg`, [g.op(`${path}/Min`, [distance, 0])]);
  const bucket = bucketOf(g, path, near, buckets);
  const later = g.op(`${path}/Cast`, [g.op(`${path}/Greater`, [distance, 0])], { to: INT64 });
  const side = g.op(`${path}/Mul`, [later, buckets]);
  const index = isBidirectional ? g.op(`${path}/Add`, [side, bucket]) : bucket;
  const table = g.noise(`${dotted(path)}.relative_attention_bias.weight`, [BUCKETS, o.heads], 1);
  const values = g.op(`${path}/relative_attention_bias/Gather`, [table, index]);
  const turned = g.op(`${path}/Transpose`, [values], { perm: [2, 0, 1] });
  const all = g.op(`${path}/Unsqueeze`, [turned, [0]]);
  const from = g.op(`${path}/Unsqueeze`, [g.op(`${path}/Neg`, [queries]), [0]]);
  return g.op(`${path}/Slice`, [all, from, [Number.MAX_SAFE_INTEGER], [2]]);
}

function bucketOf(g: Builder, path: string, distance: string, buckets: number): string {
  const exact = buckets / 2;
  const isNear = g.op(`${path}/Less`, [distance, exact]);
  const ratio = g.op(`${path}/Div`, [g.op(`${path}/Cast`, [distance], { to: FLOAT }), { f32: exact }]);
  const step = g.op(`${path}/Div`, [g.op(`${path}/Log`, [ratio]), { f32: Math.log(DISTANCE_MAX / exact) }]);
  const wide = g.op(`${path}/Mul`, [step, { f32: buckets - exact }]);
  const far = g.op(`${path}/Add`, [g.op(`${path}/Cast`, [wide], { to: INT64 }), exact]);
  const bounded = g.op(`${path}/Min`, [far, buckets - 1]);
  return g.op(`${path}/Where`, [isNear, distance, bounded]);
}
