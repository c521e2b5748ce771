/**
 * `npm run bench [-- --only NAME] [-- --rounds N]`: measures what metrics.md of the design names, ours and plain
 * onnxruntime-web interleaved in one browser, and writes test/bench/results.json.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/demo/launch/commands.mjs";
import { checkNode, installPackages, ROOT } from "../../src/demo/launch/setup.mjs";

/** Rounds of each measure; a recovery counts 50, so that a 95th percentile means something. */
const ROUNDS = 20;
const RECOVERIES = 50;
const BUILD_TIMEOUT_MS = 4 * 60_000;
/** A browser that offers pages SwiftShader, and does not give a GPU up that is killed again and again. */
const GPU_ARGS = [
  "--enable-unsafe-webgpu",
  "--disable-gpu-process-crash-limit",
  "--disable-domain-blocking-for-3d-apis",
];
const FILE = join(ROOT, "test/bench/results.json");

/** Which measure gives which names. @type {readonly { readonly prefixes: readonly string[], readonly measure: keyof typeof import("./measures.mjs") | "pipelineK2" | "partition" | "hostPeak" | "storeSecondOrigin" | "wakeJournal" | "journalTransactions" | "recoverWarm" | "levels" | "sessions100" | "checkpoints" | "restore" | "detectHang" | "detectGpu", readonly rounds: number }[]} */
const MEASURES = [
  { prefixes: ["overhead.run"], measure: "overheadRun", rounds: ROUNDS },
  { prefixes: ["overhead.stage"], measure: "overheadStage", rounds: ROUNDS },
  { prefixes: ["decode"], measure: "decode", rounds: ROUNDS },
  { prefixes: ["partition", "plan.slowestStage"], measure: "partition", rounds: 7 },
  { prefixes: ["pipeline.k2"], measure: "pipelineK2", rounds: 7 },
  { prefixes: ["host.peak"], measure: "hostPeak", rounds: 3 },
  { prefixes: ["store.secondOriginLoad"], measure: "storeSecondOrigin", rounds: 5 },
  { prefixes: ["wake.journal10k"], measure: "wakeJournal", rounds: 15 },
  { prefixes: ["journal.transactionsPerS"], measure: "journalTransactions", rounds: 7 },
  { prefixes: ["sessions100.latency"], measure: "sessions100", rounds: ROUNDS },
  { prefixes: ["checkpoint"], measure: "checkpoints", rounds: 10 },
  { prefixes: ["restore"], measure: "restore", rounds: 10 },
  { prefixes: ["recover.cold", "detect.death"], measure: "recoverCold", rounds: RECOVERIES },
  { prefixes: ["detect.hang"], measure: "detectHang", rounds: 20 },
  { prefixes: ["detect.gpu"], measure: "detectGpu", rounds: 20 },
  { prefixes: ["recover.warm"], measure: "recoverWarm", rounds: RECOVERIES },
  { prefixes: ["level"], measure: "levels", rounds: 7 },
];

/** @param {string} name */
function option(name) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

checkNode();
await installPackages(console.error);
const only = option("only");
const rounds = option("rounds");
const chosen = MEASURES.filter(
  ({ prefixes }) => only === undefined || prefixes.some((prefix) => only.startsWith(prefix) || prefix.startsWith(only)),
);
if (chosen.length === 0)
  throw new Error(
    `--only ${only} names no measure; they are ${MEASURES.flatMap(({ prefixes }) => prefixes).join(", ")}`,
  );

const built = await run("npm", ["run", "--silent", "build"], { timeoutMs: BUILD_TIMEOUT_MS, cwd: ROOT });
if (built.code !== 0) throw new Error(`the build failed:\n${built.output}`);
const { openSetting } = await import("./setting.mjs");
const measures = {
  ...(await import("./measures.mjs")),
  ...(await import("./pipeline.mjs")),
  ...(await import("./partition.mjs")),
  ...(await import("./store.mjs")),
  ...(await import("./host-peak.mjs")),
  ...(await import("./journal.mjs")),
  ...(await import("./recover-warm.mjs")),
  ...(await import("./levels.mjs")),
  ...(await import("./sessions.mjs")),
  ...(await import("./checkpoints.mjs")),
  ...(await import("./detect.mjs")),
};
/** @type {import("./measures.mjs").Results} */
const results = existsSync(FILE) ? JSON.parse(readFileSync(FILE, "utf8")) : {};
for (const { measure, rounds: usual } of chosen) {
  const setting = await openSetting(measure === "detectGpu" ? GPU_ARGS : []);
  try {
    const found = await measures[measure](setting, rounds === undefined ? usual : Number(rounds));
    for (const [name, { value, unit, baseline, n, ci, note }] of Object.entries(found)) {
      const beside = baseline === null ? "" : ` (baseline ${baseline})`;
      console.log(
        `${name.padEnd(30)} ${value} ${unit}${beside}, 95 % ${ci.join(" … ")}, n ${n}${note ? `, ${note}` : ""}`,
      );
    }
    Object.assign(results, found);
    writeFileSync(FILE, `${JSON.stringify(results, null, 2)}\n`);
  } finally {
    await setting.close();
  }
}
