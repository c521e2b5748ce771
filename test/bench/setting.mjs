import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchBrowser } from "../../src/demo/launch/browser.mjs";
import { findBrowser } from "../../src/demo/launch/find-browser.mjs";
import { serve } from "../../src/demo/launch/serve.mjs";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { chainModel, mlpModel } from "./models.mjs";

/** @typedef {import("../../src/demo/launch/browser.mjs").Browser} Browser */
/** @typedef {import("../../src/demo/launch/page.mjs").Page} Page */
/** @typedef {{ browser: Browser, page: Page, origin: string, isolated: string, close: () => Promise<void> }} Setting */

const MLP_LAYERS = 16;

/** One browser with the built extension and one page that has the client library and plain onnxruntime-web side by side. @returns {Promise<Setting>} */
export async function openSetting() {
  const roots = {
    "/": join(ROOT, "test/bench/site"),
    "/client/": join(ROOT, "dist/client"),
    "/ort/": join(ROOT, "node_modules/onnxruntime-web/dist"),
    "/models/moby-llama/": join(ROOT, "test/models/moby-llama"),
  };
  /** @type {Record<string, import("../../src/demo/launch/serve.mjs").Route>} */
  const routes = {
    "GET /models/chain": (_request, response, url) => {
      const [length, stages] = [Number(url.searchParams.get("length")), Number(url.searchParams.get("stages"))];
      response.end(chainModel(length, stages));
    },
    "GET /models/mlp": (_request, response) => void response.end(mlpModel(MLP_LAYERS)),
  };
  const site = await serve({ roots, cors: true, routes });
  // Threads need cross-origin isolation, which would shut the extension's frame out of the page.
  const isolated = await serve({ roots, isolated: true, routes });
  const userDataDir = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  const browser = await launchBrowser({
    executable: await findBrowser(console.error),
    userDataDir,
    extensionDir: join(ROOT, "dist/chrome"),
  });
  const page = await browser.newPage(`${site.origin}/bench.html`);
  await connect(browser, page);
  return {
    browser,
    page,
    origin: site.origin,
    isolated: isolated.origin,
    close: async () => {
      await browser.close();
      await site.close();
      await isolated.close();
      rmSync(userDataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

/** Connects a page of the bench, with the user's consent. @param {Browser} browser @param {Page} page */
export async function connect(browser, page) {
  await page.waitFor("typeof window.bench === 'object'");
  let settled = false;
  const connected = page.evaluate("bench.connect()").finally(() => {
    settled = true;
  });
  await Promise.all([connected, browser.clickConsentUnless(() => settled)]);
}
