import { until } from "../../src/demo/launch/wait.mjs";
import { interval, percentile, result } from "./stats.mjs";

const PROMPT = Array.from({ length: 64 }, (_, index) => 300 + ((index * 37) % 1_500));
/** Tokens before a host hangs: by their times its deadline is measured. */
const TOKENS_BEFORE = 32;
/** What a hung run is given at least, and how many times what runs of its shape take: as metrics.md says. */
const [FLOOR_MS, FACTOR] = [3_000, 4];

/** SIGSTOP of a host's process mid-generation: until it is classified, ÷ what it is to be given. @type {import("./measures.mjs").Measure} */
export async function detectHang({ browser, page }, amount) {
  await page.evaluateWithin(120_000, "bench.openLlama(2)");
  /** @type {number[]} */
  const ratios = [];
  for (let round = 0; round < amount; round++) {
    const stage = round % 2;
    await page.evaluate(`bench.start(${JSON.stringify(PROMPT)}, 200)`);
    await page.waitFor(`bench.tokens.length >= ${TOKENS_BEFORE}`, { timeoutMs: 60_000 });
    const pid = await browser.processes.pidOfHost((await page.evaluate("bench.hosts()"))[stage]);
    const tokens = await page.evaluate("bench.tokens");
    const stopped = Date.now();
    process.kill(pid, "SIGSTOP");
    try {
      const fault = await faultOf(page, stage);
      const times = tokens
        .slice(1)
        .map((/** @type {[number, number]} */ [at], /** @type {number} */ index) => at - tokens[index][0]);
      console.log(`round ${round}: ${fault.at - stopped} ms, ${fault.signal}`);
      ratios.push((fault.at - stopped) / Math.max(FLOOR_MS, FACTOR * percentile(times, 0.99)));
    } finally {
      browser.processes.kill(pid);
    }
    await page.waitFor("bench.events.some(({ type }) => type === 'recovered')", { timeoutMs: 60_000 });
    await page.evaluate("bench.stop()");
    await page.waitFor("bench.ended", { timeoutMs: 60_000 });
  }
  await page.evaluate("bench.closeLlama()");
  return {
    "detect.hang.p95Ratio": result(
      percentile(ratios, 0.95),
      "ratio",
      null,
      ratios.length,
      interval([ratios], ([a = []]) => percentile(a, 0.95)),
      "a stopped process; seeded Llama of 102 MB, 2 stages",
    ),
  };
}

/** Death of the GPU process while a session runs on it: until the loss is classified. @type {import("./measures.mjs").Measure} */
export async function detectGpu({ browser, page }, amount) {
  const times = [];
  for (let round = 0; round < amount; round++) {
    // A session loses its GPU twice at most, then runs elsewhere: each round has its own.
    const [provider] = await page.evaluateWithin(120_000, "bench.openOnGpu()");
    if (provider !== "webgpu") throw new Error("this browser gives no GPU to the extension");
    await page.evaluateWithin(60_000, "bench.runOnGpu(20)");
    const pid = await browser.processes.gpuPid();
    const killed = Date.now();
    browser.processes.kill(pid);
    const fault = await faultOf(page, 0);
    if (fault.category !== "WEBGPU") throw new Error(`the loss was classified as ${fault.category}: ${fault.signal}`);
    times.push(fault.at - killed);
    console.log(`round ${round}: ${fault.at - killed} ms, ${fault.signal}`);
    await page.evaluateWithin(60_000, "bench.closeOnGpu()");
  }
  return {
    "detect.gpu.p95Ms": result(
      percentile(times, 0.95),
      "ms",
      null,
      times.length,
      interval([times], ([a = []]) => percentile(a, 0.95)),
      "death of the GPU process, on SwiftShader",
    ),
  };
}

/** @param {import("./setting.mjs").Page} page @param {number} stage @returns {Promise<any>} */
function faultOf(page, stage) {
  return until(
    `a fault of stage ${stage}`,
    () => page.evaluate(`bench.events.find(({ type, stage }) => type === "fault" && stage === ${stage}) ?? null`),
    { timeoutMs: 60_000 },
  );
}
