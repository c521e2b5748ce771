import { join } from "node:path";
import { launchBrowser } from "../../src/demo/launch/browser.mjs";
import { findBrowser } from "../../src/demo/launch/find-browser.mjs";
import { peakBytes } from "../../src/demo/launch/peak-bytes.mjs";
import { serve } from "../../src/demo/launch/serve.mjs";
import { ROOT } from "../../src/demo/launch/setup.mjs";

const OPEN_MS_MAX = 25 * 60_000;
const RUN_MS_MAX = 5 * 60_000;

/**
 * @typedef {{ bytes: number, peakBytes: number }} HostMemory
 * @typedef {{ hosts: HostMemory[], others: { name: string, peakBytes: number }[], storeMs: number, loadMs: number, digest: string }} InBrowser
 */

/**
 * The built extension in a real browser: a page creates a session from the model's address on a server with ranges, so that the
 * extension stores it and each shard is loaded from the store into a host of its own; then one run. Peaks are VmHWM of /proc.
 *
 * @param {{ folder: string, model: string, shards: number, feeds: object }} options `folder` holds the model and takes the profile
 * @returns {Promise<InBrowser>} `digest`: SHA-256 of the logits, as hex
 */
export async function loadInBrowser({ folder, model, shards, feeds }) {
  const roots = { "/": join(ROOT, "test/large/site"), "/client/": join(ROOT, "dist/client"), "/model/": folder };
  const site = await serve({ roots, cors: true });
  const browser = await launchBrowser({
    executable: await findBrowser(console.error),
    userDataDir: join(folder, "profile"),
    extensionDir: join(ROOT, "dist/chrome"),
  });
  try {
    const page = await browser.newPage(`${site.origin}/index.html`);
    await page.waitFor("typeof window.large === 'object'");
    const connected = page.evaluate("large.connect()");
    await Promise.all([connected, browser.clickConsent()]);
    const open = `large.open("/model/${model}", ${shards})`;
    const { hosts, storeMs, loadMs } = await page.evaluateWithin(OPEN_MS_MAX, open);
    const digest = await page.evaluateWithin(RUN_MS_MAX, `large.run(${JSON.stringify(feeds)})`);
    const memory = [];
    for (const { hostId, bytes } of hosts)
      memory.push({ bytes, peakBytes: peakBytes(await browser.processes.pidOfHost(hostId)) });
    const { processes } = browser;
    const others = [
      { name: "host tabs, their keepers", peakBytes: peakBytes(await processes.pidOfHostTabs()) },
      { name: "service worker, bridge frame", peakBytes: peakBytes(await processes.pidOfBridge(page.targetId)) },
      { name: "the page", peakBytes: peakBytes(await processes.pidOfPage(page.targetId)) },
      { name: "the browser itself", peakBytes: peakBytes(browser.pid) },
    ];
    await page.evaluate("large.release()");
    return { hosts: memory, others, storeMs, loadMs, digest };
  } finally {
    await browser.close();
    await site.close();
  }
}
