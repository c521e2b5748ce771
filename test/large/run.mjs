/**
 * `npm run test:large`: a seeded Llama of 6 GB, its weights in one external file of more than 4 GB, is written to a temporary
 * folder, planned, and loaded shard by shard, each in a process of its own. Then a page of a real browser opens it through the
 * extension, which stores it and loads it into eight hosts. All have to give the same bits.
 * Prints a table, writes it to test/large/results.md, and takes its files away again. Needs 16 GB of disk and 14 GB of memory.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { deserialize } from "node:v8";
import { build } from "vite";
import { loadInBrowser } from "./in-browser.mjs";

const ROOT = resolve(import.meta.dirname, "../..");
const RESULTS = join(import.meta.dirname, "results.md");
/** The model twice, on the server and in the browser's profile, and what is passed from shard to shard. */
const DISK_BYTES_MIN = 16e9;
/** A shard of 6 GB in eight fits wasm memory several times. */
const PLANS = [8, 12];
/** Each in a process of its own; the table has medians. */
const PLAN_ROUNDS = 3;
const PLAN_PEAK_MB_MAX = 64;
const HOST_FIXED_BYTES = 160 * 2 ** 20;
const HOST_RATIO_MAX = 2;
const BROWSER_SHARDS = 8;
const STEP_MS_MAX = 15 * 60_000;

const run = promisify(execFile);
const failures = /** @type {string[]} */ ([]);
const lines = /** @type {string[]} */ ([]);

/** @param {string} line */
function say(line) {
  console.log(line);
  lines.push(line);
}

/** @param {boolean} isMet @param {string} what */
function check(isMet, what) {
  if (!isMet) failures.push(what);
}

/** @param {string} script @param {string[]} args @returns {Promise<any>} */
async function step(script, args) {
  const { stdout } = await run(process.execPath, [script, ...args], { timeout: STEP_MS_MAX, maxBuffer: 2 ** 24 });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}");
}

/** @param {string} folder @returns {Promise<string>} */
async function bundle(folder) {
  const output = { entryFileNames: "steps.mjs" };
  await build({
    ...{ root: ROOT, configFile: false, logLevel: "warn", publicDir: false },
    build: {
      ...{ ssr: join(ROOT, "test/large/steps.ts"), outDir: join(folder, "script"), minify: false, emptyOutDir: true },
      rollupOptions: { output },
    },
    ssr: { noExternal: true },
  });
  return join(folder, "script", "steps.mjs");
}

const gb = (/** @type {number} */ bytes) => (bytes / 1e9).toFixed(2);
const mb = (/** @type {number} */ bytes) => (bytes / 2 ** 20).toFixed(0);

/** @param {string} folder */
async function measure(folder) {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < DISK_BYTES_MIN) throw new Error(`${folder} has ${gb(bavail * bsize)} GB, 16 are needed`);
  const script = await bundle(folder);
  const begin = performance.now();
  const written = await step(script, ["write", folder]);
  say(
    `Seeded Llama, fp32: ${gb(written.bytes)} GB in ${written.files.length} files, the largest ${gb(written.largestFileBytes)} GB`,
  );
  console.log(`(written in ${((performance.now() - begin) / 1000).toFixed(0)} s)`);
  check(written.largestFileBytes > 2 ** 32, "the external file is not over 4 GB");
  const digests = [];
  for (const shards of PLANS) digests.push(await measurePlan(script, folder, shards, written.bytes));
  sayWhetherSame(digests, `${PLANS.join(" and ")} shards`);
  digests.push(await measureInBrowser(script, folder));
  sayWhetherSame(digests, `${PLANS.join(" and ")} shards in Node and of ${BROWSER_SHARDS} in the browser`);
}

/** @param {string[]} digests @param {string} what */
function sayWhetherSame(digests, what) {
  const isSame = new Set(digests).size === 1;
  check(isSame, `${what} give different logits`);
  say(`\nLogits of ${what}: ${isSame ? "the same bits" : "DIFFERENT"}`);
}

/** @param {string} script @param {string} folder @returns {Promise<string>} */
async function measureInBrowser(script, folder) {
  const built = await run("npm", ["run", "--silent", "build"], { cwd: ROOT, timeout: STEP_MS_MAX });
  if (built.stderr !== "") console.log(built.stderr);
  const feeds = await step(script, ["feeds"]);
  const found = await loadInBrowser({ folder, model: "model.onnx", shards: BROWSER_SHARDS, feeds });
  const times = `stored in ${(found.storeMs / 1000).toFixed(0)} s, loaded in ${(found.loadMs / 1000).toFixed(0)} s`;
  say(`\nThrough the extension, all ${BROWSER_SHARDS} hosts at once: ${times}.`);
  say("\n| process | shard, MB | peak, MB | (peak - 160) ÷ size |\n|---|---|---|---|");
  for (const [index, { bytes, peakBytes }] of found.hosts.entries()) {
    const ratio = (peakBytes - HOST_FIXED_BYTES) / bytes;
    say(`| host ${index + 1} | ${mb(bytes)} | ${mb(peakBytes)} | ${ratio.toFixed(2)} |`);
    check(ratio <= HOST_RATIO_MAX, `host ${index + 1} in the browser: host.peak.ratio is ${ratio.toFixed(2)}`);
  }
  for (const { name, peakBytes } of found.others) say(`| ${name} | | ${mb(peakBytes)} | |`);
  return found.digest;
}

/** @param {string} script @param {string} folder @param {number} shards @param {number} bytes @returns {Promise<string>} */
async function measurePlan(script, folder, shards, bytes) {
  const runs = /** @type {any[]} */ ([]);
  for (let round = 0; round < PLAN_ROUNDS; round++) runs.push(await step(script, ["plan", folder, String(shards)]));
  const median = (/** @type {string} */ name) =>
    runs.map((one) => one[name]).sort((a, b) => a - b)[(PLAN_ROUNDS - 1) / 2];
  const plan = { ...runs[0], ms: median("ms"), growthBytes: median("growthBytes") };
  const rate = bytes / 1e6 / (plan.ms / 1000);
  say(`\n| K = ${shards} | planned in | MB/s of model | memory above idle | shards possible |\n|---|---|---|---|---|`);
  say(`| | ${plan.ms.toFixed(0)} ms | ${rate.toFixed(0)} | ${mb(plan.growthBytes)} MB | ${plan.shardsMax} |`);
  check(plan.growthBytes <= PLAN_PEAK_MB_MAX * 2 ** 20, `planning ${shards} shards took ${mb(plan.growthBytes)} MB`);
  say(`\n| shard of ${shards} | MB | load, ms | run, ms | peak, MB | (peak - 160) ÷ size |\n|---|---|---|---|---|---|`);
  const ort = import.meta.resolve("onnxruntime-web");
  for (let index = 0; index < shards; index++) {
    const shard = await step(script, ["load", folder, String(shards), String(index), ort]);
    const ratio = (shard.peakBytes - HOST_FIXED_BYTES) / shard.bytes;
    const times = `${shard.loadMs.toFixed(0)} | ${shard.runMs.toFixed(0)}`;
    say(`| ${index + 1} | ${mb(shard.bytes)} | ${times} | ${mb(shard.peakBytes)} | ${ratio.toFixed(2)} |`);
    check(ratio <= HOST_RATIO_MAX, `shard ${index + 1} of ${shards}: host.peak.ratio is ${ratio.toFixed(2)}`);
  }
  const { data } = deserialize(readFileSync(join(folder, `line-${shards}-${shards}`))).logits;
  return createHash("sha256")
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("hex");
}

const folder = mkdtempSync(join(tmpdir(), "holdfast-large-"));
const cleanUp = () => rmSync(folder, { recursive: true, force: true });
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.once(signal, () => {
    cleanUp();
    process.exit(130);
  });
}
try {
  await measure(folder).catch((error) => check(false, `the measurement ended: ${error?.stack ?? error}`));
  writeFileSync(RESULTS, `${lines.join("\n")}\n`);
} finally {
  cleanUp();
}
for (const failure of failures) console.log(`✗ ${failure}`);
console.log(`${failures.length} bounds missed`);
process.exitCode = failures.length > 0 ? 1 : 0;
