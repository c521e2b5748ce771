import type { Builder } from "./builder.ts";
import { linear } from "./linear.ts";
import { attend, type Heads, layerNorm, splitHeads } from "./parts.ts";

/** What an architecture calls the pieces of a pre-norm transformer layer, under the layer's scope. */
export interface LayerNames {
  readonly norm: string;
  /** Scope of the attention's own nodes. */
  readonly attention: string;
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly out: string;
  readonly mlpNorm: string;
  readonly up: string;
  readonly active: string;
  readonly down: string;
  /** Whisper's keys have none. */
  readonly keyBias: boolean;
}

export interface LayerSize {
  readonly hidden: number;
  readonly heads: number;
  readonly headDim: number;
  readonly intermediate: number;
  /** How many layers add to the residual stream. */
  readonly layers: number;
}

export type Activation = (g: Builder, path: string, x: string) => string;

export function preNormLayer(
  g: Builder,
  path: string,
  x: string,
  size: LayerSize,
  names: LayerNames,
  { mask = "", activation }: { readonly mask?: string; readonly activation: Activation },
): string {
  const heads = { count: size.heads, size: size.headDim };
  const scope = `${path}/${names.attention}`;
  const y = layerNorm(g, `${path}/${names.norm}`, x, size.hidden);
  const [q, k, v] = (["query", "key", "value"] as const).map((part) => {
    const bias = part !== "key" || names.keyBias;
    return projectHeads(g, scope, `${path}/${names[part]}`, y, size.hidden, heads, bias);
  }) as [string, string, string];
  const attended = attend(g, scope, [q, k, v], heads, { mask });
  const middle = addProjected(g, path, `${path}/${names.out}`, x, attended, heads.count * heads.size, size);
  return mlp(g, path, middle, size, names, activation);
}

/** The second half of a layer. */
export function mlp(
  g: Builder,
  path: string,
  x: string,
  size: LayerSize,
  names: Pick<LayerNames, "mlpNorm" | "up" | "active" | "down">,
  activation: Activation,
): string {
  const y = layerNorm(g, `${path}/${names.mlpNorm}`, x, size.hidden);
  const up = linear(g, `${path}/${names.up}`, y, size.hidden, size.intermediate, { bias: true });
  const active = activation(g, `${path}/${names.active}`, up);
  return addProjected(g, path, `${path}/${names.down}`, x, active, size.intermediate, size);
}

/** A projection of `x` as [batch, heads, sequence, headDim]; `path` is the projection's own. */
export function projectHeads(
  g: Builder,
  scope: string,
  path: string,
  x: string,
  from: number,
  heads: Heads,
  bias: boolean,
): string {
  return splitHeads(g, scope, linear(g, path, x, from, heads.count * heads.size, { bias }), heads);
}

/** residual + W · x + b, weak enough for the sum to stay bounded over all layers. */
export function addProjected(
  g: Builder,
  scope: string,
  path: string,
  residual: string,
  x: string,
  from: number,
  { hidden, layers }: Pick<LayerSize, "hidden" | "layers">,
): string {
  const strength = 1 / Math.sqrt(layers);
  return g.op(`${scope}/Add`, [residual, linear(g, path, x, from, hidden, { bias: true, strength })]);
}
