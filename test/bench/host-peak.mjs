import { peakBytes } from "../../src/demo/launch/peak-bytes.mjs";
import { interval, median, result } from "./stats.mjs";

const FIXED_BYTES = 160e6;

/** Peak memory of a host's process, less what any host costs, ÷ the weights of its shard. @type {import("./measures.mjs").Measure} */
export async function hostPeak({ browser, page }, amount) {
  const ratios = [];
  for (let round = 0; round < amount; round++) {
    const hosts = await page.evaluateWithin(120_000, "bench.openLlama(2)");
    const bytes = await page.evaluate("bench.shardBytes()");
    await page.evaluateWithin(120_000, "bench.decodeOurs([68, 390, 398, 314], 8)");
    for (const [index, host] of hosts.entries()) {
      const pid = await browser.processes.pidOfHost(host);
      ratios.push((peakBytes(pid) - FIXED_BYTES) / bytes[index]);
    }
    await page.evaluate("bench.closeLlama()");
  }
  return {
    "host.peak.ratio": result(
      median(ratios),
      "ratio",
      null,
      ratios.length,
      interval([ratios], ([a = []]) => median(a)),
      "seeded Llama of 102 MB in two shards",
    ),
  };
}
