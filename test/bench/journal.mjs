import { join } from "node:path";
import { runnerImport } from "vite";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { until } from "../../src/demo/launch/wait.mjs";
import { interval, median, result } from "./stats.mjs";

/**
 * @typedef {import("./setting.mjs").Setting} Setting
 * @typedef {import("../../src/demo/launch/page.mjs").Page} Page
 */

const RECORDS = 10_000;
/** Transactions that one round appends, and how many of them wait for storage at once. */
const APPENDED = 2_000;
const AT_ONCE = 50;

/** Start of the service worker → its pool is ready, with so many records in the journal. @type {import("./measures.mjs").Measure} */
export async function wakeJournal({ browser, page }, amount) {
  await page.close();
  const inside = await browser.newPage(browser.extensionUrl("manifest.json"));
  const empty = await wakes(browser, inside, amount);
  await browser.stopServiceWorker();
  const stored = await records();
  await inside.evaluateWithin(120_000, writeJournal, stored);
  const full = await wakes(browser, inside, amount);
  const count = await inside.evaluate(countRecords);
  if (count < RECORDS) throw new Error(`the journal has ${count} records`);
  return {
    "wake.journal10k.ms": result(
      median(full),
      "ms",
      median(empty),
      full.length,
      interval([full], ([a = []]) => median(a)),
      "baseline: a journal of a few records",
    ),
  };
}

/** Durable transactions a second: consents given over and over, as the popup sends them. @type {import("./measures.mjs").Measure} */
export async function journalTransactions({ browser }, amount) {
  const popup = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  const rates = [];
  for (let round = -1; round < amount; round++) {
    const rate = await popup.evaluateWithin(120_000, appendMany, APPENDED, AT_ONCE);
    if (round >= 0) rates.push(rate);
  }
  await popup.close();
  return {
    "journal.transactionsPerS": result(
      median(rates),
      "1/s",
      null,
      rates.length,
      interval([rates], ([a = []]) => median(a)),
      `${AT_ONCE} at once, each a message to the service worker and back`,
    ),
  };
}

/** @param {Setting["browser"]} browser @param {Page} inside @param {number} amount */
async function wakes(browser, inside, amount) {
  const times = [];
  for (let round = 0; round < amount; round++) {
    await browser.stopServiceWorker();
    await inside.evaluate("void chrome.runtime.sendMessage({}).catch(() => undefined)");
    // Looked at only once it has had its time: a debugger would slow the start down.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const worker = await browser.attach(
      ({ type, url }) => type === "service_worker" && url.includes(browser.extensionId),
    );
    const ready = () => worker.evaluate("performance.getEntriesByName('ready')[0]?.startTime ?? null");
    times.push(Number(await until("the pool to be ready", ready, { timeoutMs: 20_000 })));
    await worker.send("Runtime.disable").catch(() => undefined);
    await browser.cdp.send("Target.detachFromTarget", { sessionId: worker.sessionId });
  }
  return times;
}

/** A journal as a busy pool leaves it, made by the log itself. */
async function records() {
  /** @type {{ module: typeof import("./journal-records.ts") }} */
  const { module } = await runnerImport(join(ROOT, "test/bench/journal-records.ts"), { logLevel: "error" });
  return module.busyJournal(RECORDS);
}

/** In a page of the extension. @param {Awaited<ReturnType<typeof records>>} stored */
async function writeJournal(stored) {
  const db = await new Promise((resolve, reject) => {
    const request = indexedDB.open("holdfast-journal");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const writing = db.transaction(["journal", "snapshot", "head"], "readwrite");
  for (const name of ["journal", "snapshot", "head"]) writing.objectStore(name).clear();
  for (const record of stored.records) writing.objectStore("journal").put(record);
  for (const snapshot of stored.snapshots) writing.objectStore("snapshot").put(snapshot, snapshot.sequence);
  writing.objectStore("head").put(stored.head, "head");
  await new Promise((resolve, reject) => {
    writing.oncomplete = resolve;
    writing.onerror = () => reject(writing.error);
  });
  db.close();
}

/** In a page of the extension. @returns {Promise<number>} */
function countRecords() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("holdfast-journal");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const counting = opening.result.transaction("journal").objectStore("journal").count();
      counting.onerror = () => reject(counting.error);
      counting.onsuccess = () => {
        opening.result.close();
        resolve(counting.result);
      };
    };
  });
}

/** In a page of the extension. @param {number} count @param {number} atOnce @returns {Promise<number>} */
async function appendMany(count, atOnce) {
  let left = count;
  const append = async () => {
    while (left-- > 0)
      await chrome.runtime.sendMessage({
        holdfast: "consent",
        params: { origin: "https://bench.example", allowed: true },
      });
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: atOnce }, append));
  return (count * 1_000) / (performance.now() - begin);
}
