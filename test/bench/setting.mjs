import { createReadStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream";
import { runnerImport } from "vite";
import { launchBrowser } from "../../src/demo/launch/browser.mjs";
import { findBrowser } from "../../src/demo/launch/find-browser.mjs";
import { serve } from "../../src/demo/launch/serve.mjs";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { chainModel, mlpModel } from "./models.mjs";

/** @typedef {import("../../src/demo/launch/browser.mjs").Browser} Browser */
/** @typedef {import("../../src/demo/launch/page.mjs").Page} Page */
/** @typedef {{ browser: Browser, page: Page, origin: string, isolated: string, openSite: () => Promise<Page>, close: () => Promise<void> }} Setting */

const MLP_LAYERS = 16;

/** One browser with the built extension and one page that has the client library and plain onnxruntime-web side by side. @param {readonly string[]} [extraArgs] of the browser @returns {Promise<Setting>} */
export async function openSetting(extraArgs = []) {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  const llama = await writeLlama(folder);
  const roots = {
    "/": join(ROOT, "test/bench/site"),
    "/client/": join(ROOT, "dist/client"),
    "/ort/": join(ROOT, "node_modules/onnxruntime-web/dist"),
  };
  /** @type {Record<string, import("../../src/demo/launch/serve.mjs").Route>} */
  const routes = {
    "GET /models/chain": (_request, response, url) => {
      const [length, stages] = [Number(url.searchParams.get("length")), Number(url.searchParams.get("stages"))];
      response.end(chainModel(length, stages));
    },
    "GET /models/mlp": (_request, response) => void response.end(mlpModel(MLP_LAYERS)),
  };
  routes["GET /models/llama-100mb.onnx"] = (_request, response) => {
    // The alternative's reload takes it from the HTTP cache.
    response.setHeader("cache-control", "max-age=3600");
    response.writeHead(200, { "content-length": statSync(llama).size });
    pipeline(createReadStream(llama), response, () => {});
  };
  const site = await serve({ roots, cors: true, routes });
  // Threads need cross-origin isolation, which would shut the extension's frame out of the page.
  const isolated = await serve({ roots, isolated: true, routes });
  const browser = await launchBrowser({
    executable: await findBrowser(console.error),
    userDataDir: join(folder, "profile"),
    extensionDir: join(ROOT, "dist/chrome"),
    extraArgs: [...extraArgs],
  });
  const page = await browser.newPage(`${site.origin}/bench.html`);
  await connect(browser, page);
  /** @type {import("../../src/demo/launch/serve.mjs").Server[]} */
  const others = [];
  return {
    browser,
    page,
    origin: site.origin,
    isolated: isolated.origin,
    // The same page on a site of its own.
    openSite: async () => {
      const other = await serve({ roots, cors: true, routes });
      others.push(other);
      const its = await browser.newPage(`${other.origin}/bench.html`);
      await connect(browser, its);
      return its;
    },
    close: async () => {
      await browser.close();
      for (const other of others) await other.close();
      await site.close();
      await isolated.close();
      rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

/** The generated 100 MB model, as one file. @param {string} folder */
async function writeLlama(folder) {
  /** @type {{ module: typeof import("../models/generate/index.ts") }} */
  const { module } = await runnerImport(join(ROOT, "test/models/generate/index.ts"), { logLevel: "error" });
  const model = module.generate(module.BENCH_100MB);
  await module.writeModel(model, folder);
  return join(folder, model.parts[0]?.path ?? "");
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
