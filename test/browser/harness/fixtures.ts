/** What browser tests stand on: `import { expect, test } from "./harness/fixtures.ts"`. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, type TestType } from "@playwright/test";
import { type Browser, launchBrowser } from "../../../src/demo/launch/browser.mjs";
import { findBrowser } from "../../../src/demo/launch/find-browser.mjs";
import type { Page } from "../../../src/demo/launch/page.mjs";
import { ROOT } from "../../../src/demo/launch/setup.mjs";
import { openSite, type Site } from "./site.ts";

export { expect } from "@playwright/test";
export type { Browser, Page };

declare global {
  interface Window {
    /** The client library, on the test site's page.html. */
    holdfast: typeof import("../../../src/page/index.ts");
  }
}

export interface LaunchOptions {
  /** A profile that an earlier browser left; without it, a fresh one. */
  readonly userDataDir?: string;
  /** `null`: a browser without the extension. */
  readonly extensionDir?: string | null;
  readonly extraArgs?: readonly string[];
  /** False: a machine that offers pages no GPU. */
  readonly gpu?: boolean;
}

interface WorkerFixtures {
  readonly site: Site;
  /** Shared by all tests that do not `launch` their own; after a failed test the next one gets a fresh one. */
  readonly browser: Browser;
}

interface TestFixtures {
  /** A new tab on `site.origin`/page.html, whose origin has the user's consent. */
  readonly page: Page;
  /** Starts browsers of the test's own, closed when it ends; for tests that kill or restart browsers. */
  readonly launch: (options?: LaunchOptions) => Promise<Browser>;
}

/** Playwright's own fixtures of these names start its own browser; ours replace them. */
const bare = base as unknown as TestType<object, object>;

export const test = bare.extend<TestFixtures, WorkerFixtures>({
  site: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the parameter's pattern
    async ({}, use) => {
      const site = await openSite();
      await use(site);
      await site.close();
    },
    { scope: "worker" },
  ],
  browser: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the parameter's pattern
    async ({}, use) => {
      const profiles: string[] = [];
      const browser = await launchForTest({}, profiles);
      await use(browser);
      await browser.close();
      removeAll(profiles);
    },
    { scope: "worker", timeout: 90_000 },
  ],
  page: async ({ browser, site }, use, testInfo) => {
    const page = await openConsentedPage(browser, site.origin);
    await use(page);
    if (testInfo.status !== testInfo.expectedStatus) {
      await testInfo.attach("console", { body: page.console.join("\n") });
    }
    await page.close();
  },
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the parameter's pattern
  launch: async ({}, use) => {
    const profiles: string[] = [];
    const browsers: Browser[] = [];
    await use(async (options = {}) => {
      const browser = await launchForTest(options, profiles);
      browsers.push(browser);
      return browser;
    });
    for (const browser of browsers) await browser.close();
    removeAll(profiles);
  },
});

/** A tab on `origin`/page.html after `connect()` there and the user's "Allow". */
export async function openConsentedPage(browser: Browser, origin: string): Promise<Page> {
  const page = await browser.newPage(`${origin}/page.html`);
  await page.waitFor("typeof window.holdfast === 'object'");
  let settled = false;
  const connected = page
    .evaluate(async () => void (await window.holdfast.connect()))
    .finally(() => {
      settled = true;
    });
  await Promise.all([connected, browser.clickConsentUnless(() => settled)]);
  return page;
}

async function launchForTest(options: LaunchOptions, profiles: string[]): Promise<Browser> {
  const userDataDir = options.userDataDir ?? mkdtempSync(join(tmpdir(), "holdfast-test-"));
  if (!options.userDataDir) profiles.push(userDataDir);
  const extensionDir = options.extensionDir === null ? undefined : (options.extensionDir ?? testBuild());
  return launchBrowser({
    executable: await findBrowser(console.log),
    userDataDir,
    ...(extensionDir ? { extensionDir } : {}),
    // The only GPU of a test machine is often SwiftShader, which the browser offers pages only with this flag.
    extraArgs: [options.gpu === false ? "--disable-gpu" : "--enable-unsafe-webgpu", ...(options.extraArgs ?? [])],
  });
}

/** The build with the fault hooks; HOLDFAST_EXTENSION names another one. */
function testBuild(): string {
  const folder = process.env["HOLDFAST_EXTENSION"] ?? join(ROOT, "dist/chrome-test");
  if (!existsSync(folder)) throw new Error(`${folder} is missing: build it with "npx vite build --mode test"`);
  return folder;
}

function removeAll(profiles: readonly string[]): void {
  for (const profile of profiles) rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
