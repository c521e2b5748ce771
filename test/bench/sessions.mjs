import { interval, median, result } from "./stats.mjs";

const PARKED = 100;
/** More than these one site may not have. */
const PARKED_A_SITE = 8;
const LENGTH = 1_024;
const RUNS_A_ROUND = 20;

/** Latency of a run with 100 parked sessions, of as many sites as it takes, ÷ with one, before them and after them. @type {import("./measures.mjs").Measure} */
export async function sessions100({ browser, page, openSite }, amount) {
  const popup = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  let parked = 0;
  const parkUpTo = async (/** @type {number} */ wanted) => {
    while (parked < wanted) {
      const count = Math.min(PARKED_A_SITE, wanted - parked);
      const other = await openSite();
      await other.evaluateWithin(300_000, `bench.park(${LENGTH}, ${count})`);
      await other.close();
      parked = await popup.evaluate(parkedSessions);
    }
  };
  const measure = async () => (await page.evaluateWithin(300_000, `bench.runChain(${amount * RUNS_A_ROUND})`)).ours;
  await parkUpTo(1);
  await page.evaluate(`bench.openChain(${LENGTH}, 1, 1)`);
  await page.evaluateWithin(120_000, "bench.runChain(200)");
  const before = await measure();
  await parkUpTo(PARKED);
  const many = await measure();
  await popup.evaluateWithin(120_000, closeParkedButOne);
  if ((await popup.evaluate(parkedSessions)) !== 1) throw new Error("the parked sessions could not be closed");
  const one = [...before, ...(await measure())];
  await page.evaluate("bench.closeChain()");
  await popup.close();
  const ratio = (/** @type {number[][]} */ [a = [], b = []]) => median(a) / median(b);
  return {
    "sessions100.latency.ratio": result(
      ratio([many, one]),
      "ratio",
      median(one),
      many.length,
      interval([many, one], ratio),
      `one stage, 4 KB, ${parked} parked sessions; baseline: ms with one, half of them before and half after`,
    ),
  };
}

/** In the popup. @returns {Promise<number>} */
async function parkedSessions() {
  const { sessions } = await chrome.runtime.sendMessage({ holdfast: "status", params: null });
  return sessions.filter((/** @type {{ status: string }} */ { status }) => status === "parked").length;
}

/** In the popup. */
async function closeParkedButOne() {
  const { sessions } = await chrome.runtime.sendMessage({ holdfast: "status", params: null });
  const parked = sessions.filter((/** @type {{ status: string }} */ { status }) => status === "parked");
  for (const { sessionId } of parked.slice(1))
    await chrome.runtime.sendMessage({ holdfast: "closeSession", params: { sessionId } });
}
