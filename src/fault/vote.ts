import { bytesOf, elementCount } from "../base/bytes.ts";
import type { ErrorData } from "../base/errors.ts";
import { VOTE_TOLERANCE } from "../base/limits.ts";
import type { WireTensor, WireTensors } from "../base/tensor.ts";

/** What one of several hosts that did the same run says. */
export interface Reply {
  /** Which host. */
  readonly voter: number;
  /** Hosts of one build (provider, wasm build, threads) give the same bits; others agree within a tolerance. */
  readonly build: string;
  /** Its outputs, or why it has none. */
  readonly answer: { readonly tensors: WireTensors } | { readonly error: Pick<ErrorData, "code"> };
  /** Digest of what the run left in the host: new rows of its state. Compared within one build only. */
  readonly rows: string;
}

/** `liars`: voters whose reply is not the winner's. */
export type Verdict =
  | { readonly is: "decided"; readonly winner: number; readonly liars: readonly number[] }
  /** Others may still answer. */
  | { readonly is: "open" }
  /** No majority can come about any more. */
  | { readonly is: "split" };

/** So many of `voters` make a majority. */
export function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/** So many of a stage's hosts must be there for it to go on: a majority, or of a stage and its checker the stage's own. */
export function enoughOf(hosts: number): number {
  return hosts === 2 ? 1 : majorityOf(hosts);
}

/**
 * What the majority of `voters` hosts says of one run. The winner is the first reply that a majority agrees with, itself
 * included; a reply that comes later is held against it by the same rule. Never a guess: without a majority there is none.
 */
export function vote(replies: readonly Reply[], voters: number): Verdict {
  const needed = majorityOf(voters);
  let most = 0;
  for (const one of replies) {
    const agreeing = replies.filter((other) => agree(one, other));
    if (agreeing.length >= needed) {
      const liars = replies.filter((other) => !agreeing.includes(other)).map(({ voter }) => voter);
      return { is: "decided", winner: one.voter, liars };
    }
    most = Math.max(most, agreeing.length);
  }
  return most + (voters - replies.length) >= needed ? { is: "open" } : { is: "split" };
}

/** Whether two hosts say the same of a run. Symmetric; across builds not transitive, as no tolerance is. */
export function agree(one: Reply, other: Reply): boolean {
  const [a, b] = [one.answer, other.answer];
  if ("error" in a || "error" in b) return "error" in a && "error" in b && a.error.code === b.error.code;
  const isExact = one.build === other.build;
  if (isExact && one.rows !== other.rows) return false;
  const names = Object.keys(a.tensors);
  if (names.length !== Object.keys(b.tensors).length) return false;
  return names.every((name) => {
    const [left, right] = [a.tensors[name], b.tensors[name]];
    if (left === undefined || right === undefined || !isSameShape(left, right)) return false;
    return (
      isSameBits(left, right) || (!isExact && isClose(left, right) && (!isLogits(name) || isSameChoice(left, right)))
    );
  });
}

function isSameShape(one: WireTensor, other: WireTensor): boolean {
  return one.type === other.type && one.dims.join() === other.dims.join();
}

function isSameBits(one: WireTensor, other: WireTensor): boolean {
  const [a, b] = [bytesOf(one), bytesOf(other)];
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** Within `VOTE_TOLERANCE` of the largest magnitude of the two. Floats only: what counts or names things must be equal. */
function isClose(one: WireTensor, other: WireTensor): boolean {
  const [a, b] = [floatsOf(one), floatsOf(other)];
  if (a === null || b === null) return false;
  let largest = 0;
  for (const values of [a, b]) for (const value of values) largest = Math.max(largest, Math.abs(value));
  // Not a number, or without bound: equal bits would have said so before.
  if (!Number.isFinite(largest)) return false;
  for (let at = 0; at < a.length; at++)
    if (!(Math.abs((a[at] as number) - (b[at] as number)) <= VOTE_TOLERANCE * largest)) return false;
  return true;
}

/** Scores of which the largest is taken. */
function isLogits(name: string): boolean {
  return /logits/i.test(name);
}

/** The same largest element in every row of the last axis. */
function isSameChoice(one: WireTensor, other: WireTensor): boolean {
  const [a, b] = [floatsOf(one), floatsOf(other)];
  const width = one.dims.at(-1) ?? 1;
  if (a === null || b === null || width === 0) return a !== null && b !== null;
  for (let row = 0; row < elementCount(one.dims) / width; row++)
    if (largestAt(a, row * width, width) !== largestAt(b, row * width, width)) return false;
  return true;
}

function largestAt(values: ArrayLike<number>, from: number, count: number): number {
  let best = 0;
  for (let at = 1; at < count; at++) if ((values[from + at] as number) > (values[from + best] as number)) best = at;
  return best;
}

function floatsOf({ type, data }: WireTensor): Float32Array | Float64Array | null {
  if (type === "float32" || type === "float64") return data as Float32Array | Float64Array;
  return type === "float16" ? halves(data as Uint16Array) : null;
}

/** IEEE 754 binary16, of which the browser has no array everywhere. */
function halves(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (half) => {
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const sign = half & 0x8000 ? -1 : 1;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}
