/** Pages and sessions as most tests begin with them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CreateSessionOptions } from "../../../src/page/pool.ts";
import { MODEL } from "../checks/decoder.ts";
import { installRejection } from "../checks/errors.ts";
import { type Browser, type LaunchOptions, openConsentedPage, type Page } from "../harness/fixtures.ts";

/** `page.html` of a site, with `window.rejection`; its user was not asked. */
export async function openPage(browser: Browser, origin: string): Promise<Page> {
  const page = await browser.newPage(`${origin}/page.html`);
  await page.waitFor("typeof window.holdfast === 'object'");
  await installRejection(page);
  return page;
}

/** A browser of the test's own, and a page in it whose origin has the user's consent. */
export async function launchConsented(
  launch: (options?: LaunchOptions) => Promise<Browser>,
  origin: string,
  options: LaunchOptions = {},
): Promise<{ readonly browser: Browser; readonly page: Page }> {
  const browser = await launch(options);
  const page = await openConsentedPage(browser, origin);
  await installRejection(page);
  return { browser, page };
}

/** A profile in developer mode; outside of it the browser leaves an unpacked extension disabled after a reload. */
export function developerProfile(userDataDir: string): string {
  mkdirSync(join(userDataDir, "Default"), { recursive: true });
  const preferences = { extensions: { ui: { developer_mode: true } } };
  writeFileSync(join(userDataDir, "Default/Preferences"), JSON.stringify(preferences));
  return userDataDir;
}

/** Opens moby-llama in the page as `window.kept.session`; gives the session's id. */
export function keepSession(page: Page, options: CreateSessionOptions): Promise<string> {
  return page.evaluate(
    async (model, asked) => {
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, asked);
      window.kept = { session };
      return session.id;
    },
    MODEL,
    options,
  );
}
