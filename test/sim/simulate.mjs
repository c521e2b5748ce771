import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { build } from "vite";

const ROOT = resolve(import.meta.dirname, "../..");

/**
 * A change of the sources that the simulator must notice. `find` stands exactly once in `file`.
 * @typedef {{ name: string, file: string, find: string, replace: string, seeds: readonly number[], from?: number }} Mutant
 * @typedef {{ from?: number, count?: number, seeds?: readonly number[], lanes: number, failuresMax?: number, shrinks?: boolean, verbose?: boolean,
 *   seconds?: number }} SimOptions
 * @typedef {Extract<import("./worker.ts").SimReport, { kind: "failure" }>} Failure
 * @typedef {{ failures: Failure[], histories: number, events: number, eventsMin: number, faultsMin: number,
 *   sessionsMin: number, faults: number,
 *   coverage: Record<string, number>, seconds: number }} SimResult
 */

/**
 * Plays the histories of these seeds, or of `count` from `from` on, `lanes` at a time.
 * @param {SimOptions} options @param {Mutant | null} [mutant] @returns {Promise<SimResult>}
 */
export async function simulate(
  { from = 1, count = 0, seeds, lanes, failuresMax = 1, shrinks = false, verbose = false, seconds = Infinity },
  mutant = null,
) {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-sim-"));
  const begin = performance.now();
  /** @type {SimResult} */
  const result = {
    failures: [],
    histories: 0,
    events: 0,
    eventsMin: Infinity,
    faultsMin: Infinity,
    sessionsMin: Infinity,
    faults: 0,
    coverage: {},
    seconds: 0,
  };
  try {
    const script = await bundle(folder, mutant);
    const step = Math.min(lanes, seeds?.length ?? count);
    const orders = Array.from({ length: step }, (_, lane) => ({
      seeds: seeds?.filter((_, at) => at % step === lane) ?? { from: from + lane, to: from + count, step },
    }));
    await Promise.all(
      orders.map((order) => play(script, { ...order, failuresMax, shrinks, verbose, seconds }, result)),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  result.seconds = (performance.now() - begin) / 1000;
  return result;
}

/** @param {string} folder @param {Mutant | null} mutant @returns {Promise<URL>} the worker with all that it imports */
async function bundle(folder, mutant) {
  const output = { entryFileNames: "worker.mjs" };
  let isMade = mutant === null;
  await build({
    ...{ root: ROOT, configFile: false, logLevel: "warn", publicDir: false },
    plugins: [
      {
        name: "mutant",
        enforce: "pre",
        transform(code, id) {
          if (mutant === null || relative(ROOT, id) !== mutant.file) return null;
          if (code.split(mutant.find).length !== 2)
            throw new Error(`${mutant.file} does not hold the text of "${mutant.name}" once`);
          isMade = true;
          return code.replace(mutant.find, () => mutant.replace);
        },
      },
    ],
    build: {
      ssr: join(ROOT, "test/sim/worker.ts"),
      outDir: folder,
      emptyOutDir: true,
      minify: false,
      rollupOptions: { output, external: [/^onnxruntime-web/] },
    },
    ssr: { noExternal: true, external: ["onnxruntime-web"] },
  });
  if (!isMade) throw new Error(`the simulator does not use ${mutant?.file}`);
  return pathToFileURL(join(folder, "worker.mjs"));
}

/** @param {URL} script @param {Omit<import("./worker.ts").SimOrder, "clock">} order @param {SimResult} result */
function play(script, order, result) {
  const clock = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(script, { workerData: { ...order, clock } });
  return new Promise((settle, reject) => {
    worker.on("error", reject);
    worker.on("message", (/** @type {import("./worker.ts").SimReport} */ report) => {
      if (report.kind === "log") return console.log(report.log.join("\n"));
      if (report.kind === "failure") return void result.failures.push(report);
      result.histories += report.histories;
      result.events += report.events;
      result.faults += report.faults;
      result.eventsMin = Math.min(result.eventsMin, report.eventsMin);
      result.faultsMin = Math.min(result.faultsMin, report.faultsMin);
      result.sessionsMin = Math.min(result.sessionsMin, report.sessionsMin);
      for (const [cell, times] of Object.entries(report.coverage))
        result.coverage[cell] = (result.coverage[cell] ?? 0) + times;
      void worker.terminate().then(() => settle(null));
    });
  });
}
