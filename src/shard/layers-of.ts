import type { CutSpace } from "./cuts.ts";
import type { NarrowCuts } from "./narrow.ts";
import { sumsBefore } from "./range.ts";

/** The repeated layers of a graph. */
export interface Layers {
  readonly count: number;
  readonly foundBy: "names" | "structure";
  /** Layers before place p; a fraction inside of one. */
  readonly before: (p: number) => number;
  /** For the places between two whole layers: the narrow cut there; absent where none is legal. */
  readonly boundaries: readonly number[];
  /** The layer of every place, null outside of all layers. */
  readonly at: (place: number) => number | null;
}

/** What stands before a layer's number in a node's name: `/model/layers.3/`, `transformer.h.3.`, `encoder.block.3`. */
const NUMBERED =
  /(?:^|[/._])(?:(?:layers?|blocks?|resblocks|stages?|groups?|cells?|units?)[._/]?|h[._/])(\d+(?:\.\d+)?)(?=[/._]|$)/g;
/** Layers count only if they hold this share of the nodes with weights; what merely repeats itself has to hold more. */
const SHARE_MIN = { names: 0.5, structure: 0.7 } as const;
/** How far from a whole number of layers a cut between two layers may stand. */
const OFF_MAX = 0.25;

/** The layers of a graph by its nodes' names, else by what repeats; null if neither tells. */
export function layersOf(space: CutSpace, narrow: NarrowCuts): Layers | null {
  const heavy = space.costs.map(({ hasWeights }, place) => (hasWeights ? place : -1)).filter((place) => place >= 0);
  const holdMost = (numbers: Numbered | null, foundBy: Layers["foundBy"]): numbers is Numbered =>
    numbers !== null && heavy.filter((place) => numbers[place] !== null).length >= heavy.length * SHARE_MIN[foundBy];
  const named = byNames(space);
  if (holdMost(named, "names")) return layers(named, "names", narrow);
  const repeated = byStructure(space, narrow);
  return holdMost(repeated, "structure") ? layers(repeated, "structure", narrow) : null;
}

/** A layer's number for every place, in the order in which the layers begin. */
type Numbered = readonly (number | null)[];

function byNames(space: CutSpace): Numbered | null {
  const numbers = new Map<string, number>();
  const found = space.nodes.map((node) => {
    const key = layerKey(node.proto.name) ?? layerKey(node.outputs[0] ?? "");
    if (key === null) return null;
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return number;
  });
  return numbers.size >= 2 ? found : null;
}

/** The name up to its last layer number. */
function layerKey(name: string): string | null {
  const last = [...name.matchAll(NUMBERED)].at(-1);
  return last === undefined ? null : name.slice(0, last.index + last[0].length);
}

/** How much longer than others a segment may be that begins or ends like them: a final norm hangs on the last layer. */
const LONGER_MAX = 1.5;

/** The longest stretch of segments between narrow cuts that repeats itself, operator by operator. */
function byStructure(space: CutSpace, narrow: NarrowCuts): Numbered | null {
  const ends = [...narrow.places, space.nodes.length];
  const segments = ends.map((to, i) => {
    const nodes = space.nodes.slice(ends[i - 1] ?? 0, to).filter((node) => !space.kinds.asksShape(node));
    return nodes.map((node) => `${node.proto.opType} `).join("");
  });
  let best = { from: 0, period: 0, repeats: 0 };
  for (let period = 1; period * 2 <= segments.length && best.repeats * best.period < segments.length; period++) {
    for (let i = 0, run = 0; i + period < segments.length; i++) {
      run = areAlike(segments[i] ?? "", segments[i + period] ?? "") ? run + 1 : 0;
      const repeats = Math.floor(run / period) + 1;
      if (run < period || repeats * period <= best.repeats * best.period) continue;
      best = { from: i - run + 1, period, repeats };
    }
  }
  if (best.repeats < 2) return null;
  const { from, period, repeats } = best;
  const numbers: (number | null)[] = new Array(space.nodes.length).fill(null);
  for (let segment = from; segment < from + period * repeats; segment++) {
    numbers.fill(Math.floor((segment - from) / period), ends[segment - 1] ?? 0, ends[segment]);
  }
  return numbers;
}

function areAlike(a: string, b: string): boolean {
  if (a === b) return true;
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  return long.length <= short.length * LONGER_MAX && (long.startsWith(short) || long.endsWith(short));
}

function layers(numbers: Numbered, foundBy: Layers["foundBy"], narrow: NarrowCuts): Layers {
  const sizes = new Map<number, number>();
  for (const number of numbers) if (number !== null) sizes.set(number, (sizes.get(number) ?? 0) + 1);
  const sums = sumsBefore(numbers.map((number) => (number === null ? 0 : 1 / (sizes.get(number) ?? 1))));
  const before = (p: number): number => sums[p] ?? 0;
  const nearest = new Map<number, number>();
  const off = (p: number): number => Math.abs(before(p) - Math.round(before(p)));
  for (const p of narrow.places) {
    const whole = Math.round(before(p));
    if (whole < 1 || whole >= sizes.size || off(p) > OFF_MAX) continue;
    const other = nearest.get(whole);
    if (other === undefined || off(p) < off(other) - 1e-9) nearest.set(whole, p);
  }
  const boundaries = [...nearest].sort(([a], [b]) => a - b).map(([, p]) => p);
  return { count: sizes.size, foundBy, before, boundaries, at: (place) => numbers[place] ?? null };
}
