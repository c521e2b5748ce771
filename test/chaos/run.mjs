/**
 * `npm run chaos`: faults of every kind against a real browser in which three sites work.
 *
 *     npm run chaos -- [--minutes 3] [--seed N] [--level medium|high|critical] [--out FILE]
 *     npm run chaos -- --sum FILE FILE …        the figures of several runs together
 *
 * `--only WORDS,WORDS` draws of these kinds alone, `--no-build` takes what was built last. The figures are JSON on stdout, what happens
 * goes to stderr. Ctrl-C ends it early, with the figures so far. Exit code 1: something was missing, doubled or wrong, an error came that was not predicted, or a fault was
 * not recovered from.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runnerImport } from "vite";
import { run } from "../../src/demo/launch/commands.mjs";
import { checkNode, installPackages, ROOT } from "../../src/demo/launch/setup.mjs";

const BUILD_TIMEOUT_MS = 4 * 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "3" },
    seed: { type: "string" },
    level: { type: "string", default: "medium" },
    out: { type: "string" },
    only: { type: "string" },
    sum: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
  },
});

checkNode();
await installPackages(console.error);
/** @type {{ module: typeof import("./figures.ts") }} */
const { module: figures } = await load("figures.ts");
const report = values.sum
  ? figures.sumOf(positionals.map((file) => JSON.parse(readFileSync(file, "utf8"))))
  : await play();
if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(report)}\n`);
const found = figures.figuresOf(report);
console.log(JSON.stringify(found, null, 2));
process.exitCode = figures.isClean(found) ? 0 : 1;

/** @param {string} file @returns {Promise<any>} */
function load(file) {
  return runnerImport(join(import.meta.dirname, file), { logLevel: "error" });
}

/** @returns {Promise<import("./figures.ts").Report>} */
async function play() {
  process.env["HOLDFAST_SEED"] = values.seed ?? String(Math.floor(Math.random() * 2 ** 32));
  if (!values["no-build"]) {
    const built = await run("npm", ["run", "--silent", "build"], { timeoutMs: BUILD_TIMEOUT_MS, cwd: ROOT });
    if (built.code !== 0) throw new Error(`the build failed:\n${built.output}`);
  }
  /** @type {{ module: typeof import("./chaos.ts") }} */
  const { module } = await load("chaos.ts");
  const level = module.LEVELS.find((one) => one === values.level);
  const minutes = Number(values.minutes);
  if (level === undefined) throw new Error(`--level takes ${module.LEVELS.join(", ")}, not ${values.level}`);
  if (!(minutes > 0)) throw new Error(`--minutes takes a number above 0, not ${values.minutes}`);
  console.error(`npm run chaos -- --minutes ${minutes} --seed ${process.env["HOLDFAST_SEED"]} --level ${level}`);
  // Ended early, it still says what it saw.
  const ends = new AbortController();
  for (const name of /** @type {const} */ (["SIGINT", "SIGTERM"])) process.once(name, () => ends.abort());
  return await module.chaos({
    minutes,
    level,
    signal: ends.signal,
    extensionDir: join(ROOT, "dist/chrome"),
    only: values.only?.split(","),
    say: (/** @type {string} */ line) => console.error(line),
  });
}
