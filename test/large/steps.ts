/**
 * The steps of `npm run test:large`, each a process of its own, so that each one's peak memory is its own:
 * `write FOLDER`, `plan FOLDER K`, `load FOLDER K INDEX ORT`. Each prints one line of JSON.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import type * as Ort from "onnxruntime-web/wasm";
import { extractShard } from "../../src/shard/extract.ts";
import { planShards } from "../../src/shard/plan.ts";
import { readSkeleton } from "../../src/shard/skeleton.ts";
import type { RangeReader, ShardPlan } from "../../src/shard/types.ts";
import { type Feeds, generate, LARGE_6GB, writeModel } from "../models/generate/index.ts";

const MODEL = "model.onnx";
/** Bytes read at a time, as a host's keeper does. */
const PIECE_BYTES = 8 * 2 ** 20;
const TOKENS = 4;

/** A file as the planner reads it: one scratch buffer, whatever the file's size. */
class FileReader implements RangeReader {
  readonly size: number;
  readonly #file: number;
  #scratch = new Uint8Array(0);

  constructor(path: string) {
    this.#file = openSync(path, "r");
    this.size = fstatSync(this.#file).size;
  }

  read(offset: number, length: number): Uint8Array {
    if (this.#scratch.length < length) this.#scratch = new Uint8Array(length);
    const count = readSync(this.#file, this.#scratch, 0, length, offset);
    return this.#scratch.subarray(0, count);
  }

  close(): void {
    closeSync(this.#file);
  }
}

const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;
const say = (figures: object): void => console.log(JSON.stringify(figures));

async function write(folder: string): Promise<void> {
  const model = generate(LARGE_6GB);
  await writeModel(model, folder);
  const files = model.parts.flatMap((part) => part.files.map(({ path }) => path));
  const sizes = files.map((path) => statSync(join(folder, path)).size);
  say({ files, bytes: sizes.reduce((sum, size) => sum + size, 0), largestFileBytes: Math.max(...sizes) });
}

function plan(folder: string, shards: number): void {
  const reader = new FileReader(join(folder, MODEL));
  const idleBytes = process.memoryUsage.rss();
  const begin = performance.now();
  const skeleton = readSkeleton(reader);
  const made = planShards(skeleton, { shards });
  const graphs = made.shards.map(({ index }) => extractShard(skeleton, made, index));
  const ms = performance.now() - begin;
  const growthBytes = peakBytes() - idleBytes;
  reader.close();
  writeFileSync(join(folder, `plan-${shards}`), serialize({ plan: made, graphs }));
  const shardBytes = made.shards.map(({ weightBytes }) => weightBytes);
  say({ ms, growthBytes, shardsMax: made.shardsMax, shardBytes, reason: made.reason });
}

/** What went down the line before this shard; the first gets the feeds. */
function lineOf(folder: string, shards: number, index: number): Feeds {
  if (index > 0) return deserialize(readFileSync(join(folder, `line-${shards}-${index}`))) as Feeds;
  return firstFeeds(false);
}

/** The feeds of a sequence's first run, or the empty state that goes with them. */
function firstFeeds(wantsState: boolean): Feeds {
  const [part] = generate(LARGE_6GB).parts;
  const all = Object.entries(part?.feeds("first", { length: TOKENS }) ?? {});
  return Object.fromEntries(all.filter(([name]) => name in (part?.stateBindings ?? {}) === wantsState));
}

/** Loads one shard, its weights tensor by tensor, runs it, and leaves what it gives to the next one. */
async function load(folder: string, shards: number, index: number, ortUrl: string): Promise<void> {
  const ort: typeof Ort = await import(ortUrl);
  ort.env.wasm.numThreads = 1;
  const stored = deserialize(readFileSync(join(folder, `plan-${shards}`))) as { plan: ShardPlan; graphs: Uint8Array[] };
  const shard = stored.plan.shards[index];
  if (shard === undefined) throw new Error(`no shard ${index}`);
  const begin = performance.now();
  const readers = new Map<string, FileReader>();
  const externalData = shard.weights.map(({ path, file, offset, length }) => {
    const reader = readers.get(file) ?? new FileReader(join(folder, file === "" ? MODEL : file));
    readers.set(file, reader);
    const data = new Uint8Array(length);
    for (let at = 0; at < length; at += PIECE_BYTES)
      data.set(reader.read(offset + at, Math.min(PIECE_BYTES, length - at)), at);
    return { path, data };
  });
  for (const reader of readers.values()) reader.close();
  const graph = stored.graphs[index] ?? new Uint8Array(0);
  const session = await ort.InferenceSession.create(graph, { externalData, logSeverityLevel: 3 });
  const loadMs = performance.now() - begin;
  const state = firstFeeds(true);
  const line = lineOf(folder, shards, index);
  const given: Feeds = { ...line, ...state };
  const feeds: Record<string, Ort.Tensor> = {};
  for (const name of session.inputNames) {
    const feed = given[name];
    if (feed === undefined) throw new Error(`shard ${index} needs ${name}`);
    feeds[name] = new ort.Tensor(feed.type, feed.data as Float32Array, feed.dims);
  }
  const runBegin = performance.now();
  const made = await session.run(feeds);
  const runMs = performance.now() - runBegin;
  const next = Object.fromEntries(
    shard.emits.map((name) => {
      const tensor = made[name];
      return [name, tensor === undefined ? line[name] : { type: tensor.type, data: tensor.data, dims: tensor.dims }];
    }),
  );
  writeFileSync(join(folder, `line-${shards}-${index + 1}`), serialize(next));
  const bytes = shard.weightBytes;
  say({ bytes, loadMs, runMs, peakBytes: peakBytes(), isLast: index === shards - 1 });
}

const [step, folder = "", shards = "1", index = "0", ortUrl = ""] = process.argv.slice(2);
if (step === "write") await write(folder);
else if (step === "plan") plan(folder, Number(shards));
else if (step === "load") await load(folder, Number(shards), Number(index), ortUrl);
else throw new Error(`no step ${step}`);
