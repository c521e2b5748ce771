import { sleep } from "../../src/demo/launch/wait.mjs";
import { interval, median, result } from "./stats.mjs";

const MODEL = "seeded Llama of 102 MB, one stage";
const PROMPT = idsOf(64);
/** Tokens of one round: six checkpoints at the default pace. */
const TOKENS = 96;
/** The same runs without checkpoints; then as often as by default, and after every run. */
const PACES = {
  without: '{ faultToleranceLevel: "low" }',
  medium: '{ faultToleranceLevel: "medium" }',
  everyToken: '{ faultToleranceLevel: "medium", checkpointIntervalMs: 0 }',
};
const PREFIXES = [64, 256, 512];
/** Layers × (key, value) × heads × numbers × bytes: what a token adds to the state of the model. */
const ROW_BYTES = 8 * 2 * 4 * 64 * 4;

/** Tokens a second that checkpoints cost, and bytes that they write. @type {import("./measures.mjs").Measure} */
export async function checkpoints({ browser, page }, amount) {
  const names = /** @type {(keyof typeof PACES)[]} */ (Object.keys(PACES));
  for (const name of names) await page.evaluateWithin(120_000, `bench.openLlama(1, ${PACES[name]}, "${name}")`);
  // What starts beside sessions, their spares for one, has started by then.
  await sleep(5_000);
  /** @type {Record<keyof typeof PACES, number[]>} */
  const rates = { without: [], medium: [], everyToken: [] };
  // The first round compiles.
  for (let round = -1; round < amount; round++)
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const rate = await page.evaluateWithin(
        120_000,
        `bench.decodeOurs(${JSON.stringify(PROMPT)}, ${TOKENS}, "${name}")`,
      );
      if (round >= 0) rates[name].push(rate);
      console.log(`round ${round}: ${name} ${rate.toFixed(1)} tokens/s`);
    }
  const inside = await browser.newPage(browser.extensionUrl("manifest.json"));
  const bytes = [];
  for (let round = 0; round < Math.min(amount, 3); round++) {
    await page.evaluateWithin(120_000, `bench.closeLlama("medium")`);
    await page.evaluateWithin(120_000, `bench.openLlama(1, ${PACES.medium}, "medium")`);
    await page.evaluateWithin(120_000, `bench.decodeOurs(${JSON.stringify(PROMPT)}, ${TOKENS}, "medium")`);
    // What was on its way to storage has arrived.
    await sleep(1_000);
    const { run, written } = await inside.evaluate(storedOf, await page.evaluate(`bench.sessionId("medium")`));
    bytes.push(written / ((PROMPT.length + run) * ROW_BYTES));
  }
  await inside.close();
  for (const name of names) await page.evaluateWithin(120_000, `bench.closeLlama("${name}")`);
  const slowdown = (/** @type {number[][]} */ [a = [], b = []]) => 1 - median(a) / median(b);
  const slower = (/** @type {keyof typeof PACES} */ name) =>
    result(
      slowdown([rates[name], rates.without]),
      "ratio",
      median(rates.without),
      amount,
      interval([rates[name], rates.without], slowdown),
      `${MODEL}; baseline: tokens/s at level low, which keeps no state`,
    );
  return {
    "checkpoint.medium.slowdown": slower("medium"),
    "checkpoint.everyToken.slowdown": slower("everyToken"),
    "checkpoint.bytes.ratio": result(
      median(bytes),
      "ratio",
      null,
      bytes.length,
      interval([bytes], ([a = []]) => median(a)),
      `${MODEL}; ${PROMPT.length} + ${TOKENS} tokens, headers counted`,
    ),
  };
}

/** Putting a killed host's KV cache back from storage ÷ reading as many tokens of a prompt. @type {import("./measures.mjs").Measure} */
export async function restore({ browser, page }, amount) {
  await page.evaluate("bench.openPlainLlama()");
  await page.evaluateWithin(120_000, `bench.openLlama(1, ${PACES.medium})`);
  /** @type {import("./measures.mjs").Results} */
  const results = {};
  for (const tokens of PREFIXES) {
    const ids = JSON.stringify(idsOf(tokens));
    /** @type {[number[], number[]]} */
    const [restores, prefills] = [[], []];
    // The plain session compiles; the host that restores is a new one each time, which a real one is as well.
    await page.evaluateWithin(60_000, `bench.prefillPlain(${ids})`);
    for (let round = 0; round < amount; round++) {
      prefills.push(await page.evaluateWithin(60_000, `bench.prefillPlain(${ids})`));
      await page.evaluate(`bench.start(${ids}, 200)`);
      await page.waitFor("bench.tokens.length >= 20 && bench.events.some(({ type }) => type === 'durable')", {
        timeoutMs: 60_000,
      });
      const [hostId] = await page.evaluate("bench.hosts()");
      browser.processes.kill(await browser.processes.pidOfHost(hostId));
      await page.waitFor("bench.events.some(({ type }) => type === 'recovered')", { timeoutMs: 60_000 });
      const ms = await page.evaluate("bench.events.find(({ type }) => type === 'recovered').restoreMs");
      // Zero: the state was computed again, which tells nothing here.
      if (ms > 0) restores.push(ms);
      console.log(
        `round ${round}: ${tokens} tokens restored in ${ms} ms, read in ${Math.round(prefills.at(-1) ?? 0)} ms`,
      );
      await page.evaluate("bench.stop()");
      await page.waitFor("bench.ended", { timeoutMs: 60_000 });
    }
    if (restores.length === 0) throw new Error(`with ${tokens} tokens nothing was ever restored from storage`);
    const ratio = (/** @type {number[][]} */ [a = [], b = []]) => median(a) / median(b);
    results[`restore.prefill${tokens}.ratio`] = result(
      ratio([restores, prefills]),
      "ratio",
      median(prefills),
      restores.length,
      interval([restores, prefills], ratio),
      `${MODEL}; at least 16 tokens more are restored; baseline: ms of plain onnxruntime-web's prefill`,
    );
  }
  await page.evaluate("bench.closeLlama()");
  return results;
}

/** @param {number} count */
function idsOf(count) {
  return Array.from({ length: count }, (_, index) => 300 + ((index * 37) % 1_500));
}

/** In a page of the extension: the last run that is stored of a session, and bytes of its records. @param {string} sessionId @returns {Promise<{ run: number, written: number }>} */
function storedOf(sessionId) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("holdfast-checkpoints");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const range = IDBKeyRange.bound([sessionId, -1, -1], [sessionId, Infinity, Infinity]);
      const reading = opening.result.transaction("checkpoints").objectStore("checkpoints").getAll(range);
      reading.onerror = () => reject(reading.error);
      reading.onsuccess = () => {
        const written = reading.result.map(
          ({ payload, header, digest }) => payload.byteLength + header.length + digest.length,
        );
        resolve({
          run: Math.max(...reading.result.map(({ run }) => run)),
          written: written.reduce((sum, each) => sum + each, 0),
        });
        opening.result.close();
      };
    };
  });
}
