import type { Dims } from "./dims.ts";
import type { ValueSpec } from "./types.ts";

/** Sizes of symbolic dimensions by their name ("sequence_length"), or by input and axis ("x:2"). */
export type AssumedSizes = Readonly<Record<string, number>>;

/** What a run is assumed to look like where the graph leaves a size open; first match by the dimension's name. */
interface Assumption {
  readonly name: RegExp;
  readonly size: number;
  /** In a model with bound state, which makes one token after another. */
  readonly sizeWithState?: number;
}

const TOKENS = 128;
const ASSUMPTIONS: readonly Assumption[] = [
  { name: /batch|^b$|^n$|^bs$/i, size: 1 },
  { name: /encoder.*(seq|len)/i, size: TOKENS },
  { name: /past|cache/i, size: TOKENS },
  { name: /total|^t$/i, size: TOKENS, sizeWithState: TOKENS + 1 },
  { name: /\+/, size: TOKENS, sizeWithState: TOKENS + 1 },
  { name: /seq|len|token|^s$/i, size: TOKENS, sizeWithState: 1 },
  { name: /channel|^c$/i, size: 3 },
  { name: /height|width|^h$|^w$/i, size: 224 },
  { name: /frame|time/i, size: 3000 },
  { name: /sample/i, size: 16_000 },
];
/** Dimensions without a name that tells: the first is a batch; of an image the last two are its sides. */
const SIDE = 224;
const MASK = /mask/i;

/** The dims of a feed or state input with every open size filled in; [1] if nothing is known. */
export function assumeDims(value: ValueSpec, hasState: boolean, given: AssumedSizes): number[] {
  const { name, dims } = value;
  if (dims === null) return [1];
  return dims.map((dim, axis) => {
    const told = given[`${name}:${axis}`] ?? (typeof dim === "string" ? given[dim] : undefined);
    if (told !== undefined) return told;
    if (typeof dim === "number" && dim >= 0) return dim;
    // A mask covers what is in the cache, whatever its dimension is called.
    if (axis === 1 && hasState && MASK.test(name)) return TOKENS + 1;
    const assumption = ASSUMPTIONS.find((row) => typeof dim === "string" && row.name.test(dim));
    if (assumption !== undefined) return (hasState ? assumption.sizeWithState : undefined) ?? assumption.size;
    if (axis === 0) return 1;
    if (dims.length === 4) return axis === 1 ? 3 : SIDE;
    return hasState && dims.length <= 3 ? 1 : TOKENS;
  });
}

/** Declared dims with the sizes that a run is assumed to have; null if the rank is not known. */
export function fillDims(dims: Dims, hasState: boolean, given: AssumedSizes): number[] | null {
  if (dims === null) return null;
  return assumeDims({ name: "", type: "float32", dims }, hasState, given);
}
