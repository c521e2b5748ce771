/** The extension is replaced by a newer version while it serves: other files, another number, every part of it started anew. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { statusOf } from "./checks/status.ts";
import { expect, test } from "./harness/fixtures.ts";
import { HeldHost } from "./support/hold.ts";
import { eventsOf, expectUndisturbed, generate, openMoby, REFERENCE, release } from "./support/moby.ts";
import { putNewVersion } from "./support/new-version.ts";
import { developerProfile, launchConsented } from "./support/pages.ts";
import { randomFor, SEED, wholeNumber } from "./support/random.ts";

const VERSION = "9.0.0";
const [CONTINUATION = { prompt: "", prompt_ids: [], ids: [] }] = REFERENCE;

test("a newer version with other files takes over in the middle of a generation: each token once", async ({
  launch,
  site,
}, testInfo) => {
  test.setTimeout(240_000);
  const userDataDir = developerProfile(testInfo.outputPath("profile"));
  const extensionDir = testInfo.outputPath("extension");
  const built = process.env["HOLDFAST_EXTENSION"] ?? join(ROOT, "dist/chrome-test");
  cpSync(built, extensionDir, { recursive: true });
  const { browser, page } = await launchConsented(launch, site.origin, { userDataDir, extensionDir });
  const [hostId = ""] = await openMoby(page, { shards: 2 });
  const sessionId = await page.evaluate(() => window.underTest.session.id);
  const inside = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  expect(await inside.evaluate(() => chrome.runtime.getManifest().version)).not.toBe(VERSION);

  const run = wholeNumber(randomFor("new version"), 1, 60);
  const held = await HeldHost.arm(browser, hostId, "answer", run);
  const tokens = generate(page, CONTINUATION.prompt);
  await held.reached();
  putNewVersion(extensionDir, VERSION);
  await inside.evaluate(() => chrome.runtime.reload()).catch(() => undefined);
  await held.release({ lost: true });

  expectUndisturbed(await tokens, CONTINUATION);
  console.log(`HOLDFAST_SEED=${SEED}: the new version came at run ${run}`);
  expect((await eventsOf(page, "bridge")).map(({ state }) => state)).toEqual(["lost", "restored"]);
  // What serves now is the new version, with the same session.
  const again = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  const seen = await again.evaluate(() => ({
    version: chrome.runtime.getManifest().version,
    scripts: [...document.scripts].map(({ src }) => src),
  }));
  await again.close();
  expect(seen).toEqual({ version: VERSION, scripts: expect.arrayContaining([expect.stringMatching(/-v900\.js$/)]) });
  const { sessions, hosts } = await statusOf(browser);
  expect(sessions).toMatchObject([{ sessionId, status: "live", tokens: CONTINUATION.ids.length }]);
  expect(hosts).toHaveLength(2);
  expectUndisturbed(await generate(page, CONTINUATION.prompt), CONTINUATION);
  await release(page);
});
