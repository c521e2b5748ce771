import { interval, median, result } from "./stats.mjs";

const RUNS = 24;
const CONCURRENCY = 4;

/** Runs a second of two stages with four runs under way, against one plain session with one and with two threads. @type {import("./measures.mjs").Measure} */
export async function pipelineK2({ browser, page, isolated }, amount) {
  await page.evaluate("bench.openMlp(2)");
  const other = await browser.newPage(`${isolated}/threads.html`);
  await other.waitFor("typeof window.threads === 'object'");
  await other.evaluateWithin(60_000, "threads.open()");
  const [ours, one, two] = /** @type {number[][]} */ ([[], [], []]);
  for (let round = -1; round < amount; round++) {
    const a = await page.evaluateWithin(120_000, `bench.throughput("ours", ${RUNS}, ${CONCURRENCY})`);
    const b = await page.evaluateWithin(120_000, `bench.throughput("plain", ${RUNS}, 1)`);
    const c = await other.evaluateWithin(120_000, `threads.throughput(${RUNS})`);
    if (round < 0) continue;
    ours?.push(a);
    one?.push(b);
    two?.push(c);
  }
  await page.evaluate("bench.closeMlp()");
  const speedup = (/** @type {number[][]} */ [a = [], b = []]) => median(a) / median(b);
  const against = (/** @type {number[]} */ plain) =>
    result(
      speedup([ours ?? [], plain]),
      "ratio",
      median(plain),
      amount,
      interval([ours ?? [], plain], speedup),
      "16 layers of [64, 512] × [512, 512]",
    );
  return { "pipeline.k2.speedup1t": against(one ?? []), "pipeline.k2.speedup2t": against(two ?? []) };
}
