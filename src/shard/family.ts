import type { Graph, GraphNode } from "./graph.ts";
import type { ValueSpec } from "./types.ts";
import { valueSpec } from "./values.ts";

/** What a model, or a tower of one, works on. */
export const FAMILIES = ["audio", "vision", "text"] as const;
export type Family = (typeof FAMILIES)[number];

/** Families by a feed's name; the first row that matches. */
const BY_NAME: readonly (readonly [Family, RegExp])[] = [
  ["audio", /audio|input_features|speech|wave|(^|_)mel|spectrogram|samples?$/i],
  ["vision", /pixel|image|vision|visual|(^|_)img/i],
  ["text", /token|text|input_ids|_ids$|attention_mask|inputs_embeds|prompt/i],
];
const AUDIO_OPERATORS = new Set(["STFT", "MelWeightMatrix", "DFT"]);

/** What the feeds and the operators of a graph show it to work on; null: they do not tell. With several, the first of FAMILIES. */
export function familyOf(graph: Graph): Family | null {
  if (graph.nodes.some((node) => AUDIO_OPERATORS.has(node.proto.opType))) return "audio";
  const found = new Set(graph.inputs.map((value) => familyOfFeed(valueSpec(value))));
  return FAMILIES.find((family) => found.has(family)) ?? null;
}

/** The family of each node that depends on feeds of one family only; absent: of none or of several. */
export function familiesOfNodes(graph: Graph): ReadonlyMap<GraphNode, Family> {
  const reached = new Map<string, Set<Family>>();
  for (const value of graph.inputs) {
    const family = familyOfFeed(valueSpec(value));
    if (family !== null) reached.set(value.name, new Set([family]));
  }
  const families = new Map<GraphNode, Family>();
  for (const node of graph.nodes) {
    const all = new Set(node.inputs.flatMap((name) => [...(reached.get(name) ?? [])]));
    for (const name of node.outputs) reached.set(name, all);
    const [family] = all;
    if (family !== undefined && all.size === 1) families.set(node, family);
  }
  return families;
}

function familyOfFeed({ name, type, dims }: ValueSpec): Family | null {
  const named = BY_NAME.find(([, pattern]) => pattern.test(name));
  if (named !== undefined) return named[0];
  // Batch, one or three channels, height, width.
  const isImage = dims?.length === 4 && (dims[1] === 3 || dims[1] === 1) && type.startsWith("float");
  return isImage || (dims?.length === 4 && dims[3] === 3) ? "vision" : null;
}
