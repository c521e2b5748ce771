import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { build } from "vite";

const ROOT = resolve(import.meta.dirname, "../..");
/** A case that takes longer hangs. */
const CASE_MS_MAX = 5_000;
/** How much the process may grow over what it needs with the seeds loaded and planned. */
const GROWTH_BYTES_MAX = 256 * 1024 * 1024;
const LOOK_MS = 10;
const CLOCK_LENGTH = 16;
/** So that growth is memory in use, and not garbage that nobody has come for. */
const HEAP = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 16 };

/**
 * @typedef {{ seed: number, from: number, count: number, lanes: number }} FuzzOptions
 * @typedef {{ outcomes: Record<string, number>, bad: string[], grownMb: number, seconds: number }} FuzzResult
 */

/**
 * Plans `count` damaged model files, `lanes` at a time, each case watched for time and memory.
 * @param {FuzzOptions} options
 * @returns {Promise<FuzzResult>} `bad` holds every hang, crash, untyped error and excess of memory
 */
export async function fuzz({ seed, from, count, lanes }) {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-fuzz-"));
  const begin = performance.now();
  /** @type {FuzzResult} */
  const result = { outcomes: {}, bad: [], grownMb: 0, seconds: 0 };
  try {
    const script = await bundle(folder);
    const to = from + count;
    const starts = Array.from({ length: lanes }, (_, lane) => from + lane);
    const memory = { base: 0, waiting: lanes };
    const look = () => {
      if (memory.waiting > 0) return;
      memory.base ||= process.memoryUsage.rss();
      result.grownMb = Math.max(result.grownMb, (process.memoryUsage.rss() - memory.base) / 2 ** 20);
    };
    const timer = setInterval(look, LOOK_MS);
    await Promise.all(starts.map((start) => lane(script, { seed, from: start, to, step: lanes }, result, memory)));
    clearInterval(timer);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (result.grownMb * 2 ** 20 > GROWTH_BYTES_MAX) result.bad.push(`memory grew by ${result.grownMb.toFixed(0)} MB`);
  result.seconds = (performance.now() - begin) / 1000;
  return result;
}

/** @param {string} folder @returns {Promise<URL>} the worker with all that it imports, as one script */
async function bundle(folder) {
  const entry = join(ROOT, "test/fuzz/worker.ts");
  const output = { entryFileNames: "worker.mjs" };
  await build({
    ...{ root: ROOT, configFile: false, logLevel: "warn", publicDir: false },
    build: { ssr: entry, outDir: folder, emptyOutDir: true, minify: false, rollupOptions: { output } },
    ssr: { noExternal: true },
  });
  return pathToFileURL(join(folder, "worker.mjs"));
}

/**
 * One worker after the other until all cases are through: after a hang or a crash the next goes on behind it.
 * @param {URL} script
 * @param {{ seed: number, from: number, to: number, step: number }} order
 * @param {FuzzResult} result
 * @param {{ waiting: number }} memory
 */
async function lane(script, order, result, memory) {
  let [ready, through] = [false, false];
  for (let from = order.from; from < order.to; ) {
    const clock = new Int32Array(new SharedArrayBuffer(4 * CLOCK_LENGTH));
    clock[0] = from;
    const worker = new Worker(script, { workerData: { ...order, from, clock }, resourceLimits: HEAP });
    /** @type {readonly string[]} */
    let outcomes = [];
    let [begun, since] = [0, performance.now()];
    const watch = setInterval(() => {
      if (begun !== clock[1]) [begun, since] = [clock[1] ?? 0, performance.now()];
      else if (begun > 0 && performance.now() - since > CASE_MS_MAX) void worker.terminate();
    }, 100);
    const isDone = await new Promise((settle) => {
      let why = `no answer within ${CASE_MS_MAX} ms`;
      worker.on("error", (error) => {
        why = String(error);
      });
      worker.on("message", (/** @type {import("./worker.ts").FuzzReport} */ report) => {
        if (report.kind === "bad") result.bad.push(`case ${report.case} (${report.file}): ${report.error}`);
        if (report.kind === "ready") {
          outcomes = report.outcomes;
          if (!ready) memory.waiting -= 1;
          ready = true;
        }
        if (report.kind !== "done") return;
        through = true;
        settle(true);
      });
      worker.on("exit", () => {
        if (through) return;
        if (clock[1] === 0) throw new Error(`the fuzzer does not start: ${why}`);
        result.bad.push(`case ${clock[0]}: ${why}`);
        settle(false);
      });
    });
    clearInterval(watch);
    for (const [i, outcome] of outcomes.entries())
      result.outcomes[outcome] = (result.outcomes[outcome] ?? 0) + (clock[2 + i] ?? 0);
    await worker.terminate();
    if (isDone) return;
    from = (clock[0] ?? from) + order.step;
  }
}
