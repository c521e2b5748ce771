import { Page } from "./page.mjs";
import { until } from "./wait.mjs";

/**
 * @typedef {import("./browser.mjs").Browser} Browser
 * @typedef {import("./cdp.mjs").Json} Json
 */

const STOP_TIMEOUT_MS = 10_000;

/**
 * Stops the extension's service worker. The order goes through the ServiceWorker domain of another target's session: a debugger
 * attached to the worker itself would keep it alive.
 *
 * @param {Browser} browser
 * @returns {Promise<{ versionId: string, stoppedMs: number }>} how long it took until the worker was stopped
 */
export async function stopServiceWorker(browser) {
  const { targetId } = await browser.cdp.send("Target.createTarget", { url: "about:blank", background: true });
  const page = await Page.attach(browser.cdp, targetId);
  /** @type {Map<string, string>} */
  const status = new Map();
  // Work in flight starts the worker again at once, so "stopped" may stand for less than a look at `status`.
  const stopped = new Set();
  const scope = browser.extensionUrl("");
  const off = browser.cdp.on("ServiceWorker.workerVersionUpdated", ({ versions }, sessionId) => {
    if (sessionId !== page.sessionId) return;
    for (const { versionId, scriptURL, runningStatus } of versions) {
      if (!scriptURL.startsWith(scope)) continue;
      status.set(versionId, runningStatus);
      if (runningStatus === "stopped" || runningStatus === "starting") stopped.add(versionId);
    }
  });
  try {
    await page.send("ServiceWorker.enable");
    const running = () => [...status].find(([, state]) => state === "running")?.[0];
    const versionId = await until("a running service worker to stop", running, { timeoutMs: STOP_TIMEOUT_MS });
    const start = performance.now();
    stopped.clear();
    await page.send("ServiceWorker.stopWorker", { versionId });
    await until("the service worker to stop", () => stopped.has(versionId), {
      timeoutMs: STOP_TIMEOUT_MS,
      everyMs: 2,
    });
    return { versionId, stoppedMs: performance.now() - start };
  } finally {
    off();
    await page.close();
  }
}
