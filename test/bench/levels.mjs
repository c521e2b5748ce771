import { sleep, until } from "../../src/demo/launch/wait.mjs";
import { interval, median, result } from "./stats.mjs";

const PROMPT = Array.from({ length: 64 }, (_, index) => 300 + ((index * 37) % 1_500));
const TOKENS = 48;
/** Each level, and the one that it is measured against. */
const BESIDE = /** @type {const} */ ([
  ["none", "medium"],
  ["high", "medium"],
  ["critical", "none"],
]);

/** Undisturbed tokens a second at a level ÷ at another, one session of two stages each, by rounds that alternate. @type {import("./measures.mjs").Measure} */
export async function levels({ browser, page }, amount) {
  /** @type {import("./measures.mjs").Results} */
  const results = {};
  const popup = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  for (const [level, beside] of BESIDE) {
    const levels = [beside, level];
    /** @type {[number[], number[]]} */
    const [baseline, other] = [[], []];
    // The first rounds compile.
    for (let round = -1; round < amount; round++) {
      for (const each of round % 2 === 0 ? levels : levels.toReversed()) {
        await page.evaluateWithin(120_000, `bench.openLlama(2, { faultToleranceLevel: "${each}" })`);
        if (each === "high") await until("standbys", () => popup.evaluate(standbys), { timeoutMs: 120_000 });
        // What starts beside a session, its spare for one, has started by then.
        await sleep(3_000);
        await page.evaluateWithin(120_000, `bench.decodeOurs(${JSON.stringify(PROMPT)}, ${TOKENS})`);
        const rate = await page.evaluateWithin(120_000, `bench.decodeOurs(${JSON.stringify(PROMPT)}, ${TOKENS})`);
        if (round >= 0) (each === level ? other : baseline).push(rate);
        await page.evaluate("bench.closeLlama()");
      }
    }
    const ratio = (/** @type {number[][]} */ [a = [], b = []]) => median(a) / median(b);
    results[`level.${level}.ratio`] = result(
      ratio([other, baseline]),
      "ratio",
      median(baseline),
      amount,
      interval([other, baseline], ratio),
      `seeded Llama of 102 MB, 2 stages; baseline: tokens/s at ${beside}`,
    );
  }
  await popup.close();
  return results;
}

/** In the popup: whether both stages have a standby that holds its shard. */
async function standbys() {
  const { spares } = await chrome.runtime.sendMessage({ holdfast: "status", params: null });
  return spares.filter((/** @type {{ standby?: { loaded: boolean } }} */ { standby }) => standby?.loaded).length >= 2;
}
