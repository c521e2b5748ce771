import type { Graph, GraphNode } from "./graph.ts";
import type { RowsWritten, ValueSpec } from "./types.ts";

/** What the graph proves of a state's output. Without `written` a run adds its rows behind all that there are. */
export interface AppendProof {
  readonly axis: number;
  readonly written?: RowsWritten;
}

/** An attention that takes a cache and gives it back with rows appended, by the places of its inputs and outputs. */
interface Cache {
  readonly axis: number;
  /** Input of the past, by output of the present. */
  readonly pasts: Readonly<Record<number, number>>;
  /** With one of these the past is a buffer of which the operator fills a part. */
  readonly buffered: readonly number[];
}

const CACHES: Readonly<Record<string, Cache>> = {
  "com.microsoft:Attention": { axis: 3, pasts: { 1: 4 }, buffered: [6] },
  "com.microsoft:MultiHeadAttention": { axis: 2, pasts: { 1: 6, 2: 7 }, buffered: [8, 9] },
  "com.microsoft:DecoderMaskedMultiHeadAttention": { axis: 2, pasts: { 1: 5, 2: 6 }, buffered: [7, 8] },
  ":Attention": { axis: 2, pasts: { 1: 4, 2: 5 }, buffered: [6] },
};
const GROUPED = "com.microsoft:GroupQueryAttention";
/** GroupQueryAttention: the past by present, and where it is told how many keys each sequence has after the run, less one. */
const GROUPED_PASTS: Readonly<Record<number, number>> = { 1: 3, 2: 4 };
const GROUPED_AXIS = 2;
const GROUPED_LENGTHS = 5;

/** The axis along which the graph shows that `output` is `input` with rows appended; null: it does not show it. */
export function appendProof(graph: Graph, input: ValueSpec, output: string): AppendProof | null {
  const made = behindIdentity(graph, output);
  const node = graph.producers.get(made);
  if (node === undefined) return null;
  const { opType, domain, output: outputs } = node.proto;
  const kind = `${domain === "ai.onnx" ? "" : domain}:${opType}`;
  const takes = (at: number | undefined): boolean =>
    at !== undefined && behindIdentity(graph, node.proto.input[at] ?? "") === input.name;
  const has = (at: number): boolean => (node.proto.input[at] ?? "") !== "";
  if (kind === ":Concat") return takes(0) ? concatAxis(node, input) : null;
  const place = outputs.indexOf(made);
  if (kind === GROUPED) return takes(GROUPED_PASTS[place]) ? grouped(graph, node) : null;
  const cache = CACHES[kind];
  if (cache === undefined || !takes(cache.pasts[place]) || cache.buffered.some(has)) return null;
  return { axis: cache.axis };
}

function concatAxis({ proto }: GraphNode, { dims }: ValueSpec): AppendProof | null {
  const axis = Number(proto.attribute.find((attribute) => attribute.name === "axis")?.i ?? 0n);
  if (axis >= 0) return { axis };
  return dims === null ? null : { axis: axis + dims.length };
}

/**
 * It copies the past up to the first row that it writes, whether the cache grows or is a buffer of fixed length; which row that
 * is hangs on how many keys each sequence has by then, so a run has to tell. New rows without a key of their own are another
 * thing (a cache shared between layers).
 */
function grouped(graph: Graph, { proto }: GraphNode): AppendProof | null {
  const [query = "", key = "", value = ""] = proto.input;
  const lengths = proto.input[GROUPED_LENGTHS] ?? "";
  const [attended = ""] = proto.output;
  const isPacked = key === "" && value === "";
  if (query === "" || attended === "" || (!isPacked && (key === "" || value === ""))) return null;
  if (lengths === "" || graph.constants.has(lengths)) return null;
  return { axis: GROUPED_AXIS, written: { lengths, attended } };
}

function behindIdentity(graph: Graph, name: string): string {
  const isIdentity = (node: GraphNode | undefined): node is GraphNode => node?.proto.opType === "Identity";
  let current = name;
  for (let node = graph.producers.get(name); isIdentity(node); node = graph.producers.get(current)) {
    current = node.proto.input[0] ?? "";
  }
  return current;
}
