/**
 * `npm test`: sets itself up, runs every check and test there is, and ends with one line: `N passed, N failed`.
 *
 *     node test/run.mjs [--long] [--only unit|sim|browser|checks] [words]
 *
 * --long adds the tests tagged @long; `words` picks browser tests by name. Types, lint, dead code, each build, the histories
 * of the simulator and its mutants count as one check each.
 * Runs on bare Node: nothing need be installed before.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { endAllCommands, run } from "../src/demo/launch/commands.mjs";
import { findBrowser } from "../src/demo/launch/find-browser.mjs";
import { checkNode, installPackages, ROOT } from "../src/demo/launch/setup.mjs";

const MINUTE_MS = 60_000;
const CHECK_TIMEOUT_MS = 4 * MINUTE_MS;
const UNIT_TIMEOUT_MS = 15 * MINUTE_MS;
const SIM_SECONDS = 120;
/** A machine that plays fewer in that time proves too little. */
const SIM_HISTORIES_MIN = 200;
const SIM_TIMEOUT_MS = 10 * MINUTE_MS;
/** A little above Playwright's own `globalTimeout`, which ends with a report. */
const BROWSER_TIMEOUT_MS = 73 * MINUTE_MS;
const BROWSER_LONG_TIMEOUT_MS = 175 * MINUTE_MS;

/** @typedef {{ only: string | undefined, long: boolean, words: string[] }} Options */

/** Output is shown as it is, in logs as well. */
const PLAIN = { NO_COLOR: "1", FORCE_COLOR: "0" };

const total = { passed: 0, failed: 0, skipped: 0 };

/** @param {string} line */
const say = (line) => console.log(line);

/** @param {string} name @param {boolean} passed @param {string} [detail] printed when it failed */
function count(name, passed, detail = "") {
  total[passed ? "passed" : "failed"]++;
  say(`${passed ? "✓" : "✗"} ${name}`);
  if (!passed && detail) say(detail.trimEnd().replace(/^/gm, "    "));
}

/** @param {string[]} args @returns {Options} */
function parse(args) {
  /** @type {Options} */
  const options = { only: undefined, long: false, words: [] };
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--long") options.long = true;
    else if (arg === "--only") options.only = args[++index];
    else options.words.push(arg);
  }
  if (options.only !== undefined && !["unit", "sim", "browser", "checks"].includes(options.only)) {
    throw new Error(`--only takes unit, sim, browser or checks, not ${options.only}`);
  }
  return options;
}

/** @param {string} name @param {string} command @param {number} [timeoutMs] */
async function check(name, command, timeoutMs = CHECK_TIMEOUT_MS) {
  const begin = performance.now();
  const [program = "", ...args] = command.split(" ");
  const { code, output } = await run(program, args, { timeoutMs, cwd: ROOT, env: PLAIN });
  count(`${name} (${seconds(begin)})`, code === 0, output);
}

async function checks() {
  await check("types", "npm run --silent types");
  await check("lint and format", "npm run --silent lint");
  await check("no dead code", "npx --no-install knip --no-progress");
}

async function builds() {
  await check("build", "npm run --silent build");
  await check("test build", "npx --no-install vite build --mode test");
}

/** @param {string} reports a folder */
async function unit(reports) {
  const begin = performance.now();
  const file = join(reports, "unit.json");
  const command = ["vitest", "run", "--config", "test/vitest.config.ts", "--reporter=default", "--reporter=json"];
  const { code, output } = await run("npx", ["--no-install", ...command, `--outputFile.json=${file}`], {
    timeoutMs: UNIT_TIMEOUT_MS,
    cwd: ROOT,
    env: PLAIN,
  });
  if (code !== 0) say(output);
  const report = readReport(file);
  if (!report) return count("unit tests", false);
  for (const { name, status, assertionResults } of report.testResults) {
    for (const test of assertionResults) tally(test.status);
    const failed = assertionResults.some((/** @type {any} */ test) => test.status === "failed");
    // A file that fails before its first test has no test to count.
    if (status === "failed" && !failed) count(relative(ROOT, name), false);
  }
  // An error outside of every test (an unhandled rejection) shows in the exit code only.
  if (code !== 0 && report.success) count("unit tests end without stray errors", false);
  say(`  unit tests: ${report.numPassedTests} passed of ${report.numTotalTests} (${seconds(begin)})`);
}

/** Histories of faults, and whether the simulator notices broken rules. */
async function simulator() {
  for (const [name, args] of /** @type {const} */ ([
    ["simulated histories", `--histories 300 --seconds ${SIM_SECONDS} --at-least ${SIM_HISTORIES_MIN}`],
    ["mutants of recovery", "--mutants"],
  ])) {
    const begin = performance.now();
    const { code, output } = await run(process.execPath, ["test/sim/run.mjs", ...args.split(" ")], {
      timeoutMs: SIM_TIMEOUT_MS,
      cwd: ROOT,
      env: PLAIN,
    });
    count(`${name} (${seconds(begin)})`, code === 0);
    // Its table shows what was met, its last line how much was played.
    say(output.trimEnd().replace(/^/gm, "    "));
  }
}

/** @param {string} reports @param {Options} options */
async function browser(reports, { long, words }) {
  try {
    say(`  browser: ${await findBrowser(say)}`);
  } catch (error) {
    return count("a browser to test with", false, error instanceof Error ? error.message : String(error));
  }
  const file = join(reports, "browser.json");
  const command = ["playwright", "test", "--config", "test/browser/playwright.config.ts", "--reporter=list,json"];
  const grep = words.length > 0 ? ["--grep", words.join(" ")] : [];
  const { code, output } = await run("npx", ["--no-install", ...command, ...grep], {
    timeoutMs: long ? BROWSER_LONG_TIMEOUT_MS : BROWSER_TIMEOUT_MS,
    show: true,
    cwd: ROOT,
    env: { ...PLAIN, PLAYWRIGHT_JSON_OUTPUT_FILE: file, HOLDFAST_LONG: long ? "1" : "0" },
  });
  const report = readReport(file);
  if (!report) return count("browser tests", false, output);
  const { expected, flaky, unexpected, skipped } = report.stats;
  total.passed += expected + flaky;
  if (flaky > 0) say(`  ${flaky} of them passed at the second try only; the list above names them.`);
  total.failed += unexpected;
  total.skipped += skipped;
  for (const { message } of report.errors) count("browser tests load", false, message);
  if (code !== 0 && unexpected === 0 && report.errors.length === 0) count("browser tests end in order", false);
}

/** @param {string} status of vitest */
function tally(status) {
  if (status === "passed") total.passed++;
  else if (status === "failed") total.failed++;
  else total.skipped++;
}

/** @param {string} file @returns {any} */
function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** @param {number} begin */
const seconds = (begin) => `${((performance.now() - begin) / 1_000).toFixed(1)} s`;

async function main() {
  const options = parse(process.argv.slice(2));
  const wants = (/** @type {string} */ part) => options.only === undefined || options.only === part;
  checkNode();
  await installPackages(say);
  const reports = mkdtempSync(join(tmpdir(), "holdfast-reports-"));
  try {
    if (wants("checks")) await checks();
    if (wants("checks") || wants("browser")) await builds();
    if (wants("unit")) await unit(reports);
    if (wants("sim")) await simulator();
    if (wants("browser")) await browser(reports, options);
  } finally {
    rmSync(reports, { recursive: true, force: true });
  }
}

for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.once(signal, () => {
    endAllCommands();
    process.exit(130);
  });
}

await main().catch((error) => count("set-up", false, error instanceof Error ? error.message : String(error)));
const { passed, failed, skipped } = total;
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
say(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
