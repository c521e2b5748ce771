/**
 * The demo without a display: a model in 3 shards generates 64 tokens twice; the second time the host of stage 2 is killed at
 * token 20. Tells it in the terminal and says whether the two are equal.
 *
 * The page /story.html gives us `window.story`:
 *
 *     start({ shards })    opens a session; { hosts: [{ stage, hostId, provider, bytes }] } once all are ready
 *     generate({ tokens }) the ids, always from the same prompt; sets `progress.tokens` and `progress.text` back first
 *     progress             { tokens, text, events }: tokens so far, their text, and every event of the session so far, as
 *                          `session.on` gives them ({ type: "fault" | "recovering" | "recovered" | … })
 *     end()                releases the session
 *
 * The page handles no fault: that is the point of the story.
 */
import { until } from "./wait.mjs";

const SHARDS = 3;
const TOKENS = 64;
const KILL_AT_TOKEN = 20;
const START_TIMEOUT_MS = 180_000;
const GENERATE_TIMEOUT_MS = 180_000;

/**
 * @typedef {import("./browser.mjs").Browser} Browser
 * @typedef {import("./page.mjs").Page} Page
 * @typedef {{ stage: number, hostId: string, provider: string, bytes: number }} Host
 * @typedef {{ type: string, [name: string]: any }} StoryEvent
 * @typedef {(line: string) => void} Say
 */

/**
 * @param {Browser} browser
 * @param {string} origin of the demo's server
 * @param {Say} say
 * @returns {Promise<boolean>} whether all 64 tokens were equal
 */
export async function tellStory(browser, origin, say) {
  const page = await browser.newPage(`${origin}/story.html`);
  await page.waitFor(`typeof window.story === "object"`);
  try {
    return await tell(browser, page, say);
  } catch (error) {
    say(`The story broke off: ${error instanceof Error ? error.message : error}`);
    for (const line of page.console.slice(-20)) say(`  page console: ${line}`);
    return false;
  } finally {
    await page.evaluate("window.story.end()").catch(() => {});
  }
}

/** @param {Browser} browser @param {Page} page @param {Say} say */
async function tell(browser, page, say) {
  say(
    `Loading the model in ${SHARDS} shards. The extension asks whether this site may use it; the launcher clicks "Allow".`,
  );
  const begin = performance.now();
  const hosts = await startSession(browser, page);
  say(`Ready after ${seconds(performance.now() - begin)}:`);
  for (const [index, { hostId, provider, bytes }] of hosts.entries()) {
    const pid = await browser.processes.pidOfHost(hostId);
    say(`  stage ${index + 1}: host ${hostId}, process ${pid}, ${provider}, ${(bytes / 1e6).toFixed(1)} MB of weights`);
  }

  say(`\nGenerating ${TOKENS} tokens, undisturbed:`);
  const undisturbed = await generate(page, say);

  const victim = hosts[1];
  if (!victim) throw new Error(`the session has ${hosts.length} stages; the story needs ${SHARDS}`);
  // Found beforehand, so that the kill comes at the token it is meant for.
  const pid = await browser.processes.pidOfHost(victim.hostId);
  say(`\nGenerating them again; at token ${KILL_AT_TOKEN} the host of stage 2 gets a SIGKILL:`);
  let killedAt = 0;
  await page.send("Runtime.enable");
  await page.send("Runtime.addBinding", { name: "storyToken" });
  const stop = browser.cdp.on("Runtime.bindingCalled", ({ payload }) => {
    if (killedAt > 0 || Number(payload) < KILL_AT_TOKEN) return;
    browser.processes.kill(pid);
    killedAt = Number(payload);
  });
  const disturbed = await generate(page, say).finally(stop);
  return report(undisturbed, disturbed, killedAt, pid, await readEvents(page), say);
}

/** @param {Browser} browser @param {Page} page @returns {Promise<Host[]>} in the order of their stages */
async function startSession(browser, page) {
  let settled = false;
  const start = page.evaluateWithin(START_TIMEOUT_MS, `window.story.start({ shards: ${SHARDS} })`).finally(() => {
    settled = true;
  });
  const [{ hosts }] = await Promise.all([
    /** @type {Promise<{ hosts: Host[] }>} */ (start),
    browser.clickConsentUnless(() => settled),
  ]);
  return hosts.sort((a, b) => a.stage - b.stage);
}

/** @param {Page} page @param {Say} say @returns {Promise<number[]>} */
async function generate(page, say) {
  const begin = performance.now();
  const result = /** @type {number[]} */ (
    await page.evaluateWithin(GENERATE_TIMEOUT_MS, `window.story.generate({ tokens: ${TOKENS} })`)
  );
  say(indent(await page.evaluate("window.story.progress.text")));
  say(`  (${result.length} tokens in ${seconds(performance.now() - begin)})`);
  return result;
}

/** @param {number[]} undisturbed @param {number[]} disturbed @param {number} killedAt @param {number} pid @param {StoryEvent[]} events @param {Say} say */
function report(undisturbed, disturbed, killedAt, pid, events, say) {
  if (killedAt === 0) say(`\nThe kill never happened: fewer than ${KILL_AT_TOKEN} tokens were seen.`);
  else say(`\nKilled:    process ${pid}, after token ${killedAt}`);
  const faults = events.filter(({ type }) => type === "fault");
  const recoveries = events.filter(({ type }) => type === "recovered");
  for (const { signal, category, hostId } of faults)
    say(`Fault:     ${signal ?? "unknown"} (${category}), host ${hostId}`);
  for (const { ms, hostId, replayedRuns } of recoveries) {
    say(
      `Recovery:  ${Math.round(ms)} ms; host ${hostId} took over${replayedRuns === undefined ? "" : `, ${replayedRuns} runs replayed`}`,
    );
  }
  if (recoveries.length === 0) say("Recovery:  none was reported");
  const equal = undisturbed.filter((id, index) => id === disturbed[index]).length;
  const good =
    killedAt > 0 &&
    recoveries.length > 0 &&
    equal === TOKENS &&
    disturbed.length === TOKENS &&
    undisturbed.length === TOKENS;
  say(`Result:    ${equal} of ${TOKENS} tokens equal the undisturbed ones${good ? ". The page noticed nothing." : ""}`);
  return good;
}

/** The report of a recovery may come a moment after the last token. @param {Page} page @returns {Promise<StoryEvent[]>} */
async function readEvents(page) {
  const read = () => /** @type {Promise<StoryEvent[]>} */ (page.evaluate("window.story.progress.events"));
  const recovered = async () => (await read()).some(({ type }) => type === "recovered");
  await until("a recovery to be reported", recovered, { timeoutMs: 5_000 }).catch(() => {});
  return read();
}

/** @param {number} ms */
const seconds = (ms) => `${(ms / 1_000).toFixed(1)} s`;

/** @param {string} text */
function indent(text) {
  const words = text.trim().split(/\s+/);
  const lines = [""];
  for (const word of words) {
    if ((lines.at(-1) ?? "").length + word.length > 96) lines.push("");
    lines[lines.length - 1] += ` ${word}`;
  }
  return lines.map((line) => `  │${line}`).join("\n");
}
