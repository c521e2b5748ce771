import type { AssumedSizes } from "./assumed-sizes.ts";
import { constantsRead } from "./constants-read.ts";
import type { CutSpace } from "./cuts.ts";
import { flopsOf } from "./flops.ts";
import type { Graph } from "./graph.ts";
import { INLINE_BYTES_MAX } from "./limits.ts";
import { rangeMax, sumsBefore } from "./range.ts";
import { sizesOf, type TensorSizes } from "./sizes.ts";
import type { StateBinding } from "./types.ts";
import { bodyRanges, type Constant } from "./weights.ts";

/** What the nodes [from, to) of a cut space do in one assumed run. */
export interface Work {
  readonly flops: number;
  /** Weights read and results written. */
  readonly bytes: number;
  readonly nodes: number;
}

/** What crosses a cut in one assumed run. */
export interface Crossing {
  readonly bytes: number;
  readonly tensors: number;
}

/** Costs of every range of nodes and of every cut; all questions but `weightBytes` are answered in constant time. */
export interface CostModel {
  /** Places: cuts fall at 1 … count - 1. */
  readonly count: number;
  readonly work: (from: number, to: number) => Work;
  readonly crossing: (p: number) => Crossing;
  /** Bytes of the distinct weights that a shard of the nodes [from, to) holds: a tied one once. */
  readonly weightBytes: (from: number, to: number) => number;
  /** Bytes that a host of the nodes [from, to) needs: weights, state, and twice the widest place. */
  readonly needBytes: (from: number, to: number) => number;
  /** Bytes of the largest single tensor, weight or activation, of the nodes [from, to). */
  readonly largestBytes: (from: number, to: number) => number;
  /** Bytes by which the bound state of the nodes [from, to) grows with each token. */
  readonly stateBytesPerToken: (from: number, to: number) => number;
  readonly sizes: TensorSizes;
}

/** No figure of one node is larger: damaged graphs may claim anything, and sums have to stay numbers. */
const AMOUNT_MAX = 2 ** 50;

/** Tokens of state that a host has to have room for. */
const STATE_TOKENS = 1024;

export function costModel(
  graph: Graph,
  space: CutSpace,
  bindings: readonly StateBinding[],
  assumed: AssumedSizes = {},
): CostModel {
  const sizes = sizesOf(graph, bindings.length > 0, assumed);
  const count = space.nodes.length;
  const read = constantsRead(graph, space);
  const inner = space.nodes.map((node) =>
    bodyRanges(node.proto, graph.ranges).reduce((sum, { length }) => sum + length, 0),
  );
  const outputs = space.nodes.map((node) => node.outputs.map((name) => bounded(sizes.bytes(name).bytes)));
  const weights = read.map((constants, place) =>
    bounded(total(constants.map(({ bytes }) => bytes)) + (inner[place] ?? 0)),
  );
  const flops = sumsBefore(
    space.nodes.map((node, place) => bounded(flopsOf(node.proto, sizes) + (inner[place] ?? 0) / 2)),
  );
  const bytes = sumsBefore(
    space.nodes.map((node, place) => {
      const written = total(outputs[place] ?? []);
      // A table is not read, only the rows that are asked for.
      const readBytes = node.proto.opType.startsWith("Gather")
        ? Math.min(written, weights[place] ?? 0)
        : (weights[place] ?? 0);
      return written + readBytes;
    }),
  );
  const held = sumsBefore(weights);
  const again = repeats(read);
  const live = liveBytes(space, sizes);
  const widest = rangeMax(live.map(({ bytes: width }) => width));
  const largest = rangeMax(
    space.nodes.map((_, place) =>
      Math.max(0, ...(outputs[place] ?? []), ...(read[place] ?? []).map((constant) => bounded(constant.bytes))),
    ),
  );
  const state = sumsBefore(statePerToken(graph, space, bindings, sizes));
  const between = (sums: Float64Array, from: number, to: number): number => (sums[to] ?? 0) - (sums[from] ?? 0);
  const weightBytes = (from: number, to: number): number =>
    again.reduce(
      (sum, pair) => (pair.first >= from && pair.second < to ? sum - pair.bytes : sum),
      between(held, from, to),
    );
  return {
    count,
    sizes,
    weightBytes,
    work: (from, to) => ({ flops: between(flops, from, to), bytes: between(bytes, from, to), nodes: to - from }),
    crossing: (p) => live[p] ?? { bytes: 0, tensors: 0 },
    needBytes: (from, to) =>
      weightBytes(from, to) + between(state, from, to) * STATE_TOKENS + 2 * widest(from, Math.min(to, count - 1) + 1),
    largestBytes: largest,
    stateBytesPerToken: (from, to) => between(state, from, to),
  };
}

/** A weight that several places read: it is held once by a shard that has both places of a pair. */
interface Repeat {
  readonly first: number;
  readonly second: number;
  readonly bytes: number;
}

function repeats(read: readonly (readonly Constant[])[]): Repeat[] {
  const last = new Map<Constant, number>();
  const pairs: Repeat[] = [];
  for (const [place, constants] of read.entries()) {
    for (const constant of constants) {
      const first = last.get(constant);
      if (first !== undefined && constant.bytes > INLINE_BYTES_MAX)
        pairs.push({ first, second: place, bytes: bounded(constant.bytes) });
      last.set(constant, place);
    }
  }
  return pairs;
}

/** What crosses each cut, by the spans of the tensors. */
function liveBytes(space: CutSpace, sizes: TensorSizes): Crossing[] {
  const bytes = new Float64Array(space.nodes.length + 2);
  const tensors = new Float64Array(space.nodes.length + 2);
  for (const { name, first, last } of space.spans) {
    if (last < first) continue;
    const size = bounded(sizes.bytes(name).bytes);
    for (const [at, sign] of [[first, 1] as const, [last + 1, -1] as const]) {
      bytes[at] = (bytes[at] ?? 0) + sign * size;
      tensors[at] = (tensors[at] ?? 0) + sign;
    }
  }
  let [sum, count] = [0, 0];
  return Array.from({ length: space.nodes.length + 1 }, (_, p) => {
    sum += bytes[p] ?? 0;
    count += tensors[p] ?? 0;
    return { bytes: sum, tensors: count };
  });
}

/** For every place, bytes a token of the states that it writes. */
function statePerToken(
  graph: Graph,
  space: CutSpace,
  bindings: readonly StateBinding[],
  sizes: TensorSizes,
): Float64Array {
  const places = new Map(space.nodes.map((node, place) => [node, place]));
  const perToken = new Float64Array(space.nodes.length);
  for (const { input, output, appendAxis } of bindings) {
    const writer = graph.producers.get(output);
    const place = writer === undefined ? undefined : places.get(writer);
    const grows = input.dims?.map((dim, axis) => axis > 0 && typeof dim !== "number") ?? [];
    const axis = appendAxis ?? grows.lastIndexOf(true);
    const rows = axis < 0 ? Number.POSITIVE_INFINITY : (sizes.dims(input.name)[axis] ?? 1);
    if (place === undefined || rows === Number.POSITIVE_INFINITY) continue;
    perToken[place] = (perToken[place] ?? 0) + sizes.bytes(input.name).bytes / Math.max(1, rows);
  }
  return perToken;
}

function bounded(amount: number): number {
  return Number.isNaN(amount) ? AMOUNT_MAX : Math.max(0, Math.min(amount, AMOUNT_MAX));
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
