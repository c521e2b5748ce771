import { sleep, until } from "../../src/demo/launch/wait.mjs";
import { interval, median, percentile, result } from "./stats.mjs";

/**
 * @typedef {import("./setting.mjs").Setting} Setting
 * @typedef {import("./stats.mjs").Result} Result
 * @typedef {Record<string, Result>} Results
 * @typedef {(setting: Setting, amount: number) => Promise<Results>} Measure
 */

const MODEL = "seeded Llama of 102 MB";
const PROMPT = Array.from({ length: 64 }, (_, index) => 300 + ((index * 37) % 1_500));
/** Tokens of one round of decoding. */
const DECODED = 48;
const LONG_PROMPT = Array.from({ length: 256 }, (_, index) => 300 + ((index * 37) % 1_500));
const SIZES = { "4KB": 1_024, "64KB": 16_384, "1MB": 262_144 };

/** Latency of one stage less plain onnxruntime-web's. @type {Measure} */
export async function overheadRun({ page }, amount) {
  /** @type {Results} */
  const results = {};
  for (const [size, length] of Object.entries(SIZES)) {
    await page.evaluate(`bench.openChain(${length}, 1, 1)`);
    await page.evaluateWithin(120_000, `bench.runChain(${40})`);
    const { ours, plain } = await page.evaluateWithin(300_000, `bench.runChain(${amount * 10})`);
    await page.evaluate("bench.closeChain()");
    for (const [name, share] of /** @type {const} */ ([
      ["p50Ms", 0.5],
      ["p95Ms", 0.95],
    ])) {
      const over = (/** @type {number[][]} */ [a = [], b = []]) => percentile(a, share) - percentile(b, share);
      results[`overhead.run.${size}.${name}`] = result(
        over([ours, plain]),
        "ms",
        percentile(plain, share),
        ours.length,
        interval([ours, plain], over),
      );
    }
  }
  return results;
}

/** What each further stage adds: four stages less one, by three. @type {Measure} */
export async function overheadStage({ page }, amount) {
  const samples = [];
  for (const shards of [1, 4]) {
    await page.evaluate(`bench.openChain(1024, 4, ${shards})`);
    await page.evaluateWithin(120_000, "bench.runChain(40)");
    samples.push((await page.evaluateWithin(300_000, `bench.runChain(${amount * 10})`)).ours);
    await page.evaluate("bench.closeChain()");
  }
  const each = (/** @type {number[][]} */ [one = [], four = []]) => (median(four) - median(one)) / 3;
  return {
    "overhead.stage.p50Ms": result(each(samples), "ms", median(samples[0] ?? []), amount * 10, interval(samples, each)),
  };
}

/** Tokens a second with the KV cache resident ÷ plain onnxruntime-web's, by rounds that alternate. @type {Measure} */
export async function decode({ page }, amount) {
  /** @type {Results} */
  const results = {};
  await page.evaluate("bench.openPlainLlama()");
  for (const shards of [1, 2, 4]) {
    await page.evaluate(`bench.openLlama(${shards})`);
    const ours = [];
    const plain = [];
    // The first rounds compile: both sides get two for nothing.
    for (let done = -2; done < amount; done++) {
      const a = await page.evaluateWithin(120_000, `bench.decodeOurs(${JSON.stringify(PROMPT)}, ${DECODED})`);
      const b = await page.evaluateWithin(120_000, `bench.decodePlain(${JSON.stringify(PROMPT)}, ${DECODED})`);
      if (done < 0) continue;
      ours.push(a);
      plain.push(b);
    }
    await page.evaluate("bench.closeLlama()");
    const ratio = (/** @type {number[][]} */ [a = [], b = []]) => median(a) / median(b);
    results[`decode.k${shards}.ratio`] = result(
      ratio([ours, plain]),
      "ratio",
      median(plain),
      amount,
      interval([ours, plain], ratio),
      MODEL,
    );
  }
  return results;
}

/** SIGKILL of a host's process mid-generation: until it is classified, and until the next new token. @type {Measure} */
export async function recoverCold({ browser, page }, amount) {
  const hosts = await page.evaluate("bench.openLlama(3)");
  const next = [];
  const detect = [];
  for (let round = 0; round < amount; round++) {
    await page.evaluate(`bench.start(${JSON.stringify(LONG_PROMPT)}, 240)`);
    await page.waitFor("bench.tokens.length >= 20", { timeoutMs: 60_000 });
    const pid = await browser.processes.pidOfHost(hosts[1]);
    const before = await page.evaluate("bench.tokens.length");
    const killed = Date.now();
    browser.processes.kill(pid);
    const recovered = await until(
      "a recovery",
      () => page.evaluate("bench.events.find((event) => event.type === 'recovered')?.stage ?? null"),
      { timeoutMs: 60_000 },
    );
    await page.waitFor("bench.tokens.length >= 40 || bench.ended", { timeoutMs: 60_000 });
    const { fault, tokens } = await page.evaluate(
      "({ fault: bench.events.find((event) => event.type === 'fault'), tokens: bench.tokens })",
    );
    if (Number(recovered) !== 1 || fault === undefined)
      throw new Error("another stage failed than the one that was killed");
    detect.push(fault.at - killed);
    // Tokens that were under way when the kill came are not new ones: the first after the fault is.
    next.push(firstAfter(tokens, fault.at, before) - killed);
    await page.evaluate("bench.stop()");
    await page.waitFor("bench.ended", { timeoutMs: 60_000 });
    await sleep(200);
  }
  await page.evaluate("bench.closeLlama()");
  const reload = await reloads(page, Math.max(5, Math.round(amount / 3)));
  const ratio = (/** @type {number[][]} */ [a = [], b = []]) => median(a) / median(b);
  return {
    "recover.cold.p50Ms": result(
      median(next),
      "ms",
      median(reload),
      next.length,
      interval([next], ([a = []]) => median(a)),
      MODEL,
    ),
    "recover.cold.p95Ms": result(
      percentile(next, 0.95),
      "ms",
      percentile(reload, 0.95),
      next.length,
      interval([next], ([a = []]) => percentile(a, 0.95)),
      MODEL,
    ),
    "recover.cold.ratioToReload": result(
      ratio([next, reload]),
      "ratio",
      median(reload),
      next.length,
      interval([next, reload], ratio),
      MODEL,
    ),
    "detect.death.p95Ms": result(
      percentile(detect, 0.95),
      "ms",
      null,
      detect.length,
      interval([detect], ([a = []]) => percentile(a, 0.95)),
    ),
  };
}

/** The alternative's way back: reload the page, load the model from the HTTP cache, read the prefix. @param {import("./setting.mjs").Page} page @param {number} amount */
async function reloads(page, amount) {
  const times = [];
  for (let round = 0; round < amount; round++) {
    const begin = performance.now();
    await page.evaluate("void setTimeout(() => location.reload(), 0)");
    await sleep(5);
    await page.waitFor("typeof window.bench === 'object' && window.bench.plain === undefined");
    await page.evaluateWithin(120_000, `bench.reloadPlain(${JSON.stringify(LONG_PROMPT)})`);
    times.push(performance.now() - begin);
  }
  return times;
}

/** @param {[number, number][]} tokens @param {number} at @param {number} from */
function firstAfter(tokens, at, from) {
  return (tokens.find(([time], index) => index >= from && time > at) ?? [Number.NaN])[0];
}
