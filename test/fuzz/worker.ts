import { parentPort, workerData } from "node:worker_threads";
import { readSkeleton } from "../../src/shard/skeleton.ts";
import type { ShardingStrategy } from "../../src/shard/types.ts";
import { Random } from "../unit/random.ts";
import { readerOf } from "../unit/shard/models.ts";
import { offeredStrategies } from "../unit/shard/offered.ts";
import { examine, OUTCOMES } from "./examine.ts";
import { mutate } from "./mutate.ts";
import { type SeedFile, seedFiles } from "./seeds.ts";

/** What a worker is told: it takes case `from`, `from + step`, … below `to`. */
export interface FuzzOrder {
  readonly seed: number;
  readonly from: number;
  readonly to: number;
  readonly step: number;
  /** The case at work, how many were begun, and how many ended with each of OUTCOMES: still there when the worker is not. */
  readonly clock: Int32Array;
}
export type FuzzReport =
  | { readonly kind: "ready"; readonly outcomes: readonly string[] }
  | { readonly kind: "bad"; readonly case: number; readonly file: string; readonly error: string }
  | { readonly kind: "done" };

const port = parentPort;
const tell = (report: FuzzReport): void => port?.postMessage(report);

function work({ seed, from, to, step, clock }: FuzzOrder): void {
  const seeds = seedFiles();
  const strategies = offeredStrategies(readSkeleton(readerOf(seeds[0]?.bytes ?? new Uint8Array())));
  const strategyOf = (index: number): ShardingStrategy => strategies[index % strategies.length] ?? "layer_based";
  for (const [i, { bytes, name }] of seeds.entries()) {
    if (examine(bytes, strategyOf(i)) !== "plan") throw new Error(`${name} gives no plan without being damaged`);
  }
  tell({ kind: "ready", outcomes: OUTCOMES });
  for (let index = from; index < to; index += step) {
    clock[0] = index;
    Atomics.add(clock, 1, 1);
    const random = new Random(seed * 1_000_003 + index);
    const file = pickSeed(seeds, random);
    try {
      const outcome = examine(mutate(file.bytes, random, pickSeed(seeds, random).bytes), strategyOf(index));
      Atomics.add(clock, 2 + OUTCOMES.indexOf(outcome), 1);
    } catch (error) {
      tell({ kind: "bad", case: index, file: file.name, error: messageOf(error) });
    }
  }
  tell({ kind: "done" });
}

function pickSeed(seeds: readonly SeedFile[], random: Random): SeedFile {
  const total = seeds.reduce((sum, { weight }) => sum + weight, 0);
  let left = random.next() * total;
  for (const file of seeds) {
    left -= file.weight;
    if (left < 0) return file;
  }
  return random.pick(seeds);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? ` (${String(error.code)})` : "";
  return `${error.message.slice(0, 300)}${code}\n${error.stack?.split("\n").slice(1, 6).join("\n")}`;
}

work(workerData as FuzzOrder);
