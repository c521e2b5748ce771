/**
 * The steps of `npm run test:large`, each a process of its own, so that each one's peak memory is its own:
 * `write FOLDER`, `feeds`, `plan FOLDER K`, `load FOLDER K INDEX ORT`. Each prints one line of JSON.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import type * as Ort from "onnxruntime-web/wasm";
import { peakBytes } from "../../src/demo/launch/peak-bytes.mjs";
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

/**
 * External data that is read when onnxruntime asks for it, which it does for one tensor after the other, through these two members
 * of a Uint8Array: no tensor is held beside its copy in wasm memory.
 */
class WeightOnDisk extends Uint8Array {
  readonly #reader: FileReader;
  readonly #offset: number;
  readonly #length: number;

  constructor(reader: FileReader, offset: number, length: number) {
    super(0);
    this.#reader = reader;
    this.#offset = offset;
    this.#length = length;
  }

  override get byteLength(): number {
    return this.#length;
  }

  override subarray(begin = 0, end = this.#length): Uint8Array<ArrayBuffer> {
    const data = new Uint8Array(end - begin);
    for (let at = 0; at < data.length; at += PIECE_BYTES) {
      data.set(this.#reader.read(this.#offset + begin + at, Math.min(PIECE_BYTES, data.length - at)), at);
    }
    return data;
  }
}

const say = (figures: object): void => console.log(JSON.stringify(figures));

async function write(folder: string): Promise<void> {
  const model = generate(LARGE_6GB);
  await writeModel(model, folder);
  const files = model.parts.flatMap((part) => part.files.map(({ path }) => path));
  const sizes = files.map((path) => statSync(join(folder, path)).size);
  say({ files, bytes: sizes.reduce((sum, size) => sum + size, 0), largestFileBytes: Math.max(...sizes) });
}

/** What a page feeds in the first run; numbers as text, since JSON has no int64. */
function feeds(): void {
  const text = Object.entries(firstFeeds(false)).map(([name, { type, data, dims }]) => {
    return [name, { type, data: Array.from(data as ArrayLike<unknown>, String), dims }];
  });
  say(Object.fromEntries(text));
}

function plan(folder: string, shards: number): void {
  const reader = new FileReader(join(folder, MODEL));
  const idleBytes = process.memoryUsage.rss();
  const begin = performance.now();
  const skeleton = readSkeleton(reader);
  const made = planShards(skeleton, { shards });
  for (const { index } of made.shards)
    writeFileSync(join(folder, `graph-${shards}-${index}`), extractShard(skeleton, made, index));
  const ms = performance.now() - begin;
  const growthBytes = peakBytes("self") - idleBytes;
  reader.close();
  writeFileSync(join(folder, `plan-${shards}`), serialize(made));
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

/** Loads one shard, runs it, and leaves what it gives to the next one. Weights are read when they are asked for. */
async function load(folder: string, shards: number, index: number, ortUrl: string): Promise<void> {
  const ort: typeof Ort = await import(ortUrl);
  ort.env.wasm.numThreads = 1;
  const stored = deserialize(readFileSync(join(folder, `plan-${shards}`))) as ShardPlan;
  const shard = stored.shards[index];
  if (shard === undefined) throw new Error(`no shard ${index}`);
  const begin = performance.now();
  const readers = new Map<string, FileReader>();
  const externalData = shard.weights.map(({ path, file, offset, length }) => {
    const reader = readers.get(file) ?? new FileReader(join(folder, file === "" ? MODEL : file));
    readers.set(file, reader);
    return { path, data: new WeightOnDisk(reader, offset, length) };
  });
  const graph = new Uint8Array(readFileSync(join(folder, `graph-${shards}-${index}`)));
  const session = await ort.InferenceSession.create(graph, { externalData, logSeverityLevel: 3 });
  const loadMs = performance.now() - begin;
  for (const reader of readers.values()) reader.close();
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
  say({ bytes, loadMs, runMs, peakBytes: peakBytes("self"), isLast: index === shards - 1 });
}

const [step, folder = "", shards = "1", index = "0", ortUrl = ""] = process.argv.slice(2);
if (step === "write") await write(folder);
else if (step === "feeds") feeds();
else if (step === "plan") plan(folder, Number(shards));
else if (step === "load") await load(folder, Number(shards), Number(index), ortUrl);
else throw new Error(`no step ${step}`);
