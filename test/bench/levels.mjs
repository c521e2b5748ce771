import { interval, median, result } from "./stats.mjs";

const MODEL = "seeded Llama of 102 MB, whole";
const PROMPT = Array.from({ length: 64 }, (_, index) => 300 + ((index * 37) % 1_500));
const DECODED = 48;
/** Each level, and the one that it is measured against: critical against none, all with one thread a host. */
const AGAINST = /** @type {const} */ ([
  ["none", "medium"],
  ["high", "medium"],
  ["critical", "none"],
]);

/** Tokens a second of an undisturbed generation at a level ÷ those at another, by rounds that alternate. @type {import("./measures.mjs").Measure} */
export async function levels({ page }, amount) {
  /** @type {import("./measures.mjs").Results} */
  const results = {};
  for (const [level, other] of AGAINST) {
    for (const each of [level, other]) await page.evaluateWithin(120_000, `bench.openLevel("${each}")`);
    /** @type {number[][]} */
    const rates = [[], []];
    // The first rounds compile, and standbys load.
    for (let done = -2; done < amount; done++) {
      for (const [index, each] of [level, other].entries()) {
        const code = `bench.decodeOurs(${JSON.stringify(PROMPT)}, ${DECODED}, "${each}")`;
        const rate = await page.evaluateWithin(120_000, code);
        if (done >= 0) rates[index]?.push(rate);
      }
    }
    for (const each of [level, other]) await page.evaluate(`bench.closeLevel("${each}")`);
    const ratio = (/** @type {number[][]} */ [a = [], b = []]) => median(a) / median(b);
    const note = `${MODEL}; against level ${other}`;
    results[`level.${level}.ratio`] = result(
      ratio(rates),
      "ratio",
      median(rates[1] ?? []),
      amount,
      interval(rates, ratio),
      note,
    );
  }
  return results;
}
