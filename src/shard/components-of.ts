import type { CutSpace } from "./cuts.ts";
import type { GraphNode } from "./graph.ts";
import { layersOf } from "./layers-of.ts";
import type { NarrowCuts } from "./narrow.ts";

/**
 * The components of one graph at three levels: towers, encoder, decoder, embedding, head; the layers inside them; attention and MLP
 * inside of those. At each level they follow each other without a gap.
 */
export interface Components {
  /** How many components of all levels a cut at p splits that a cut at `before` (the one in front of it, or 0) does not split too. */
  readonly splits: (before: number, p: number) => number;
  /** The components of the first level that lie in the nodes [from, to), wholly or in part. */
  readonly names: (from: number, to: number) => readonly string[];
}

/** A component's name from those of its nodes and weights; the first row that matches. */
const NAMED: readonly (readonly [name: string, pattern: RegExp])[] = [
  ["vision tower", /(^|[/._ ])(vision|visual|image|img)_?(model|tower|encoder|embed\w*|proj\w*)?([/._ ]|$)/i],
  ["audio tower", /(^|[/._ ])(audio|speech)_?(model|tower|encoder|embed\w*|proj\w*)?([/._ ]|$)/i],
  ["text tower", /(^|[/._ ])text_?(model|tower|encoder|embed\w*|proj\w*)([/._ ]|$)/i],
  ["head", /(^|[/._ ])(lm_head|\w*classifier|cls_head|head|pooler|logits|score|qa_outputs|predictions)([/._ ]|$)/i],
  ["embedding", /(^|[/._ ])(\w*embed\w*|wte|wpe|shared)([/._ ]|$)/i],
  ["encoder", /(^|[/._ ])encoder\w*([/._ ]|$)/i],
  ["decoder", /(^|[/._ ])decoder\w*([/._ ]|$)/i],
];
/** Names of what belongs to attention; all else in a layer is its MLP. */
const ATTENTION = /attn|attention|(^|[/._ ])(q|k|v|o|query|key|value)_?(proj)?([/._ ]|$)/i;
const ATTENTION_OPERATORS = new Set(
  "Softmax Attention MultiHeadAttention GroupQueryAttention QAttention PackedAttention".split(" "),
);

export function componentsOf(space: CutSpace, narrow: NarrowCuts): Components {
  const layers = layersOf(space, narrow);
  const ends = [...narrow.places, space.nodes.length];
  const segments = ends.map((to, i) => ({ from: ends[i - 1] ?? 0, to }));
  const layerOf = segments.map(({ from, to }) => {
    const middle = layers === null ? 0 : (layers.before(from) + layers.before(to)) / 2;
    const isInside = layers !== null && layers.before(to) - layers.before(from) > 1e-9;
    return isInside ? Math.min(layers.count - 1, Math.floor(middle)) : null;
  });
  const first = layerOf.findIndex((layer) => layer !== null);
  const last = layerOf.findLastIndex((layer) => layer !== null);
  const top = segments.map(({ from, to }, i) => {
    const named = vote(space, from, to, nameOf);
    if (named !== null || first < 0) return named ?? "body";
    return i < first ? "embedding" : i > last ? "head" : "layers";
  });
  const middle = layerOf.map((layer, i) => `${top[i]} ${layer ?? "beside"}`);
  const inner = segments.map(({ from, to }, i) => {
    if (layerOf[i] === null) return middle[i] ?? "";
    const hasAttention = space.nodes.slice(from, to).some((node) => ATTENTION_OPERATORS.has(node.proto.opType));
    return `${middle[i]} ${hasAttention ? "attention" : vote(space, from, to, attentionOrMlp)}`;
  });
  const levels = [top, middle, inner].map((labels) => insides(segments, labels));
  return {
    splits: (before, p) =>
      levels.filter((inside) => {
        const component = inside.get(p);
        return component !== undefined && (before === 0 || inside.get(before) !== component);
      }).length,
    names: (from, to) => runs(top.filter((_, i) => (segments[i]?.from ?? 0) < to && (segments[i]?.to ?? 0) > from)),
  };
}

/** For every cut between two segments of one component, that component's number. */
function insides(segments: readonly { readonly to: number }[], labels: readonly string[]): ReadonlyMap<number, number> {
  const inside = new Map<number, number>();
  let component = 0;
  for (const [i, { to }] of segments.entries()) {
    if (labels[i] === labels[i + 1]) inside.set(to, component);
    else component += 1;
  }
  return inside;
}

function runs(labels: readonly string[]): string[] {
  return labels.filter((label, i) => label !== labels[i - 1]);
}

/** What most of a segment's work is called; null if nothing in it has a name. */
function vote(space: CutSpace, from: number, to: number, name: (node: GraphNode) => string | null): string | null {
  const votes = new Map<string, number>();
  for (let place = from; place < to; place++) {
    const node = space.nodes[place];
    const label = node === undefined ? null : name(node);
    if (label !== null) votes.set(label, (votes.get(label) ?? 0) + (space.costs[place]?.cost ?? 0));
  }
  return [...votes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}

function nameOf(node: GraphNode): string | null {
  const text = textOf(node);
  return NAMED.find(([, pattern]) => pattern.test(text))?.[0] ?? null;
}

function attentionOrMlp(node: GraphNode): string {
  return ATTENTION.test(textOf(node)) ? "attention" : "mlp";
}

/** What a node is called: its name, else what it makes. */
function textOf(node: GraphNode): string {
  return node.proto.name || node.outputs.join(" ");
}
