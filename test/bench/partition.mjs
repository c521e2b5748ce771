import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-web/wasm";
import { runnerImport } from "vite";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { interval, median, result } from "./stats.mjs";

/** @typedef {import("./measures.mjs").Results} Results @typedef {import("../../src/shard/types.ts").ShardPlan} ShardPlan */

const SHARDS = 4;
const STEPS = 12;
const MEGABYTE = 1e6;

/** Runs in Node: planning speed, and how evenly each strategy's stages take their time on equal hosts. @param {unknown} _setting @param {number} amount */
export async function partition(_setting, amount) {
  const [{ planShards }, { readSkeleton }, { extractShard }, { SHARDING_STRATEGIES }, generator] = await Promise.all([
    load("src/shard/plan.ts"),
    load("src/shard/skeleton.ts"),
    load("src/shard/extract.ts"),
    load("src/shard/types.ts"),
    load("test/models/generate/index.ts"),
  ]);
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  const model = generator.generate(generator.BENCH_100MB);
  await generator.writeModel(model, folder);
  const [part] = model.parts;
  const file = openFile(join(folder, part.path));
  try {
    const speeds = [];
    const peaks = [];
    for (let round = 0; round < amount; round++) {
      const idle = process.memoryUsage().rss;
      const begin = performance.now();
      const skeleton = readSkeleton(file.reader);
      const plan = planShards(skeleton, { shards: SHARDS });
      for (const { index } of plan.shards) extractShard(skeleton, plan, index);
      speeds.push((file.reader.size / MEGABYTE / (performance.now() - begin)) * 1000);
      peaks.push(Math.max(0, (process.memoryUsage().rss - idle) / MEGABYTE));
    }
    /** @type {Results} */
    const results = {
      "partition.mbPerS": result(
        median(speeds),
        "MB/s",
        null,
        amount,
        interval([speeds], ([a = []]) => median(a)),
        "102 MB, in Node",
      ),
      "partition.peakMb": result(
        Math.max(...peaks),
        "MB",
        null,
        amount,
        interval([peaks], ([a = []]) => Math.max(...a)),
        "102 MB, growth of the process, in Node",
      ),
    };
    const skeleton = readSkeleton(file.reader);
    for (const strategy of SHARDING_STRATEGIES) {
      const plan = planShards(skeleton, { shards: SHARDS, shardingStrategy: strategy });
      const times = await stageTimes(plan, (index) => extractShard(skeleton, plan, index), file, part);
      const ratio = (/** @type {number[][]} */ stages) => {
        const medians = stages.map((stage) => median(stage));
        return (Math.max(...medians) * medians.length) / medians.reduce((a, b) => a + b);
      };
      results[`plan.slowestStage.ratio.${strategy}`] = result(
        ratio(times),
        "ratio",
        null,
        STEPS,
        interval(times, ratio),
        `${plan.shards.length} stages of the 102 MB Llama, measured, against an even share`,
      );
    }
    return results;
  } finally {
    closeSync(file.descriptor);
    rmSync(folder, { recursive: true });
  }
}

/** Milliseconds of each stage over some decode steps. @param {ShardPlan} plan @param {(index: number) => Uint8Array} graphOf @param {ReturnType<typeof openFile>} file @param {any} part */
async function stageTimes(plan, graphOf, file, part) {
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  const sessions = [];
  for (const { index, weights } of plan.shards) {
    const externalData = weights.map(({ path, offset, length }) => ({
      path,
      data: file.reader.read(offset, length).slice(),
    }));
    sessions.push(await ort.InferenceSession.create(graphOf(index), { externalData }));
  }
  /** @param {any} feeds @returns {Record<string, any>} */
  const tensors = (feeds) =>
    Object.fromEntries(
      Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)]),
    );
  const times = plan.shards.map(() => /** @type {number[]} */ ([]));
  let state = tensors(part.feeds("first", { length: 8 }));
  for (let step = 0; step < STEPS; step++) {
    let line = tensors(
      step === 0 ? part.feeds("first", { length: 8 }) : part.feeds("next", { length: 1, past: 7 + step }),
    );
    for (const [index, shard] of plan.shards.entries()) {
      const session = sessions[index];
      const feeds = Object.fromEntries((session?.inputNames ?? []).map((name) => [name, line[name] ?? state[name]]));
      const begin = performance.now();
      const made = (await session?.run(/** @type {any} */ (feeds))) ?? {};
      if (step > 1) times[index]?.push(performance.now() - begin);
      state = { ...state, ...Object.fromEntries(shard.state.map(({ input, output }) => [input.name, made[output]])) };
      line = { ...line, ...made };
    }
  }
  for (const session of sessions) await session.release();
  return times;
}

/** @param {string} path */
function openFile(path) {
  const descriptor = openSync(path, "r");
  const read = (/** @type {number} */ offset, /** @type {number} */ length) => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, length, offset));
  };
  return { descriptor, reader: { size: fstatSync(descriptor).size, read } };
}

/** @param {string} path @returns {Promise<any>} */
async function load(path) {
  return (await runnerImport(join(ROOT, path), { logLevel: "error" })).module;
}
