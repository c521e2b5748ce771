import type { NarrowCuts } from "../narrow.ts";
import { affordable, type Cuts } from "./partition.ts";

export interface Assignment {
  readonly cuts: Cuts;
  /** For every stage the index of its host. */
  readonly hosts: readonly number[];
  /** What the costliest stage costs. */
  readonly worst: number;
}

export interface AssignmentTask {
  readonly narrow: NarrowCuts;
  readonly places: readonly number[];
  readonly count: number;
  readonly shards: number;
  /** For every host a key; hosts of one key are alike. */
  readonly kinds: readonly string[];
  /** What the nodes [from, to) cost on a host, sending included; Infinity: they do not fit. */
  readonly cost: (host: number, from: number, to: number) => number;
}

/** Kinds of hosts × how many of each are taken: more states than this are not looked at, the last hosts are left out. */
const STATES_MAX = 1024;

/**
 * Cuts, and which host takes which stage, so that the costliest stage is as cheap as can be; then the sum of all. Dynamic programming
 * over which hosts are used and where the cut is: optimal over the places looked at, for any order of hosts. Fewer hosts than shards:
 * each kind may be taken again. null if nothing fits.
 */
export function assign(task: AssignmentTask): Assignment | null {
  const { shards, count, cost, narrow } = task;
  const kinds = kindsOf(task);
  const radix = kinds.map(({ members }) => members.length + 1);
  const states = radix.reduce((product, size) => product * size, 1);
  const places = affordable(narrow, task.places, shards, Math.max(1, (states * kinds.length) / (4 * shards)));
  const ends = [0, ...places, count];
  const last = ends.length - 1;
  const best = Array.from({ length: states }, () => new Float64Array(ends.length).fill(Number.POSITIVE_INFINITY));
  const sums = Array.from({ length: states }, () => new Float64Array(ends.length).fill(Number.POSITIVE_INFINITY));
  const back = Array.from({ length: states }, () => new Int32Array(ends.length).fill(-1));
  (best[0] as Float64Array)[0] = 0;
  (sums[0] as Float64Array)[0] = 0;
  const unit = radix.map((_, i) => radix.slice(0, i).reduce((product, size) => product * size, 1));
  const used = (state: number, kind: number): number => Math.floor(state / (unit[kind] ?? 1)) % (radix[kind] ?? 1);
  const total = (state: number): number => kinds.reduce((sum, _, kind) => sum + used(state, kind), 0);
  for (let state = 0; state < states; state++) {
    const stage = total(state);
    if (stage >= shards) continue;
    for (const [kind, { members }] of kinds.entries()) {
      if (used(state, kind) >= members.length) continue;
      extend(state, state + (unit[kind] ?? 1), kind, stage + 1 === shards);
    }
  }
  return read();

  function extend(state: number, next: number, kind: number, isLast: boolean): void {
    const host = kinds[kind]?.members[0] ?? 0;
    const [from, fromSum] = [best[state] as Float64Array, sums[state] as Float64Array];
    const [to, toSum, pointer] = [best[next] as Float64Array, sums[next] as Float64Array, back[next] as Int32Array];
    for (let start = 0; start < last; start++) {
      const before = from[start] ?? Number.POSITIVE_INFINITY;
      if (before === Number.POSITIVE_INFINITY) continue;
      for (let end = isLast ? last : start + 1; end <= (isLast ? last : last - 1); end++) {
        const [a, b] = [ends[start] ?? 0, ends[end] ?? count];
        if (!narrow.hasWeights(a, b) && shards > 1) continue;
        const own = cost(host, a, b);
        const worst = Math.max(before, own);
        const sum = (fromSum[start] ?? 0) + own;
        const old = to[end] ?? Number.POSITIVE_INFINITY;
        if (worst > old || worst === Number.POSITIVE_INFINITY || (worst === old && sum >= (toSum[end] ?? 0))) continue;
        to[end] = worst;
        toSum[end] = sum;
        pointer[end] = start * kinds.length + kind;
      }
    }
  }

  function read(): Assignment | null {
    let state = -1;
    for (let other = 0; other < states; other++) {
      if (total(other) !== shards) continue;
      const [value, old] = [best[other]?.[last] ?? Infinity, state < 0 ? Infinity : (best[state]?.[last] ?? Infinity)];
      const isCheaper = value === old && (sums[other]?.[last] ?? 0) < (sums[state]?.[last] ?? 0);
      if (value < old || (isCheaper && value < Infinity)) state = other;
    }
    if (state < 0) return null;
    const worst = best[state]?.[last] ?? Infinity;
    const [cuts, order]: [number[], number[]] = [[], []];
    for (let at = last, stage = shards; stage > 0; stage--) {
      const pointer = back[state]?.[at] ?? 0;
      const kind = pointer % kinds.length;
      at = Math.floor(pointer / kinds.length);
      state -= unit[kind] ?? 1;
      order.unshift(kind);
      if (stage > 1) cuts.unshift(ends[at] ?? 0);
    }
    const taken = kinds.map(() => 0);
    const hosts = order.map((kind) => {
      const members = kinds[kind]?.members ?? [];
      const host = members[taken[kind] ?? 0] ?? 0;
      taken[kind] = (taken[kind] ?? 0) + 1;
      return host;
    });
    return { cuts, hosts, worst };
  }
}

/** Hosts by kind, as many of each as a plan can use. */
function kindsOf({ kinds, shards }: AssignmentTask): { members: number[] }[] {
  const groups = new Map<string, number[]>();
  const rounds = Math.max(1, Math.ceil(shards / Math.max(1, kinds.length)));
  let states = 1;
  for (let host = 0; host < kinds.length; host++) {
    const group = groups.get(kinds[host] ?? "") ?? [];
    const room = Math.max(0, Math.min(rounds, shards - group.length));
    const grown = (states / (group.length + 1)) * (group.length + 1 + room);
    const enough = [...groups.values()].reduce((sum, members) => sum + members.length, 0) >= shards;
    if (room === 0 || (grown > STATES_MAX && enough)) continue;
    for (let i = 0; i < room; i++) group.push(host);
    groups.set(kinds[host] ?? "", group);
    states = grown;
  }
  return [...groups.values()].map((members) => ({ members }));
}
