import { sleep, until } from "../../src/demo/launch/wait.mjs";
import { interval, median, percentile, result } from "./stats.mjs";

const MODEL = "seeded Llama of 102 MB, 2 stages, each with a standby";
const SHARDS = 2;
const PREFIX = Array.from({ length: 256 }, (_, index) => 300 + ((index * 37) % 1_500));
const TOKENS = 200;
/** It dies within this many tokens after the 20th, each time at another one. */
const SPREAD = 24;

/**
 * At level high: SIGKILL of a host's process mid-generation → next new token at the page, and where the time goes.
 * @type {import("./measures.mjs").Measure}
 */
export async function recoverWarm({ browser, page }, amount) {
  await page.evaluateWithin(120_000, `bench.openLlama(${SHARDS}, { faultToleranceLevel: "high" })`);
  const popup = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  /** @type {number[]} */
  const next = [];
  /** @type {number[]} */
  const tokenMs = [];
  /** @type {Record<string, number[]>} */
  const phases = {};
  for (let round = 0; round < amount; round++) {
    const stage = round % SHARDS;
    await until("standbys", async () => (await popup.evaluate(standbys)) >= SHARDS, { timeoutMs: 120_000 });
    const hosts = await page.evaluate("bench.hosts()");
    const pid = await browser.processes.pidOfHost(hosts[stage]);
    await page.evaluate(`bench.start(${JSON.stringify(PREFIX)}, ${TOKENS})`);
    await page
      .waitFor(`bench.tokens.length >= ${20 + ((round * 7) % SPREAD)}`, { timeoutMs: 60_000, everyMs: 5 })
      .catch(async (error) => {
        throw new Error(JSON.stringify(await page.evaluate("[bench.ended, bench.tokens.length, bench.events]")), {
          cause: error,
        });
      });
    const before = await page.evaluate("bench.tokens.length");
    const killed = Date.now();
    browser.processes.kill(pid);
    await page.waitFor(`bench.tokens.length >= ${before + 16} || bench.ended`, { timeoutMs: 60_000 });
    const { events, tokens } = await page.evaluate("({ events: bench.events, tokens: bench.tokens })");
    const of = (/** @type {string} */ type, after = 0) =>
      events.find((/** @type {{ type: string, seen: number }} */ event) => event.type === type && event.seen >= after);
    const [fault, recovered] = [of("fault"), of("recovered")];
    if (fault?.stage !== stage || recovered === undefined) throw new Error(`round ${round}: no such recovery`);
    const decided = of("recovering").seen;
    const ready = events.find(
      (/** @type {{ type: string, stage: { stage: number, phase: string }, seen: number }} */ event) =>
        event.type === "stage" &&
        event.stage.stage === stage &&
        event.stage.phase === "ready" &&
        event.seen >= fault.at,
    ).seen;
    const first = tokens.find(
      (/** @type {[number, number]} */ [at], /** @type {number} */ index) => index >= before && at > fault.at,
    )[0];
    next.push(first - killed);
    const undisturbed = tokens
      .slice(1, before)
      .map((/** @type {[number, number]} */ [at], /** @type {number} */ index) => at - tokens[index][0]);
    tokenMs.push(median(undisturbed));
    const line = {
      detect: fault.at - killed,
      decide: decided - fault.at,
      switch: ready - decided,
      token: first - ready,
    };
    for (const [phase, ms] of Object.entries(line)) phases[phase] = [...(phases[phase] ?? []), ms];
    const replayed = recovered.replayedRuns;
    phases.replayed = [...(phases.replayed ?? []), replayed];
    console.log(
      `round ${round}: ${JSON.stringify({ stage, next: first - killed, ...line, replayed, token1: median(undisturbed) })}`,
    );
    await page.evaluate("bench.stop()");
    await page.waitFor("bench.ended", { timeoutMs: 60_000 });
    await sleep(500);
  }
  await popup.close();
  await page.evaluate("bench.closeLlama()");
  const where = Object.entries(phases).map(([phase, values]) => `${phase} ${Math.round(median(values))}`);
  const note = `${MODEL}; a token ${Math.round(median(tokenMs))} ms; medians in ms: ${where.join(", ")}`;
  const row = (/** @type {number} */ share) =>
    result(
      percentile(next, share),
      "ms",
      null,
      next.length,
      interval([next], ([a = []]) => percentile(a, share)),
      note,
    );
  return { "recover.warm.p50Ms": row(0.5), "recover.warm.p95Ms": row(0.95) };
}

/** In the popup: standbys that hold their shard. */
async function standbys() {
  const { spares } = await chrome.runtime.sendMessage({ holdfast: "status", params: null });
  return spares.filter((/** @type {{ standby?: { loaded: boolean } }} */ { standby }) => standby?.loaded).length;
}
