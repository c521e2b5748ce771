import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { sleep } from "../../src/demo/launch/wait.mjs";
import { installRejection, type Rejection } from "./checks/errors.ts";
import { type Browser, test as base, expect, openConsentedPage, type Page } from "./harness/fixtures.ts";
import { type Hub, openHub } from "./harness/hub.ts";
import { storedFiles } from "./support/stored.ts";

const MODEL = new Uint8Array(readFileSync(join(ROOT, "test/models/moby-llama/onnx/model.onnx")));
const SHA256 = createHash("sha256").update(MODEL).digest("hex");
const PATH = "/org/moby/resolve/main/onnx/model.onnx";

const test = base.extend<{ hub: Hub }>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the parameter's pattern
  hub: async ({}, use) => {
    const hub = await openHub();
    await use(hub);
    await hub.close();
  },
});

interface Opened {
  readonly error: Rejection | null;
  readonly loaded: number;
  readonly total: number | null;
  readonly rates: number;
}

/** Opens a session, runs nothing, releases it. What is thrown comes back as data. */
function openAndRelease(page: Page, source: unknown, keep = false): Promise<Opened> {
  return page.evaluateWithin(
    120_000,
    async (model, stays) => {
      const pool = await window.holdfast.connect();
      let [loaded, total, rates] = [0, null as number | null, 0];
      const opened = pool.createSession(model as string, {
        onEvent: (event) => {
          if (event.type !== "progress" || event.phase !== "download") return;
          [loaded, total] = [event.loadedBytes, event.totalBytes];
          if ((event.bytesPerSecond ?? 0) > 0) rates++;
        },
      });
      const error = await window.rejection(opened);
      if (error === null && !stays) await (await opened).release();
      return { error, loaded, total, rates };
    },
    source,
    keep,
  );
}

async function newPage(browser: Browser, origin: string): Promise<Page> {
  const page = await openConsentedPage(browser, origin);
  await installRejection(page);
  return page;
}

async function expectStored(browser: Browser): Promise<void> {
  const { blobs, partial } = await storedFiles(browser);
  expect(blobs).toEqual([{ name: SHA256, size: MODEL.length, sha256: SHA256 }]);
  expect(partial).toEqual([]);
}

test("one download serves two origins: the second one asks the server and reads no byte", async ({
  launch,
  site,
  hub,
}) => {
  test.setTimeout(120_000);
  const browser = await launch();
  hub.files.set(PATH, { bytes: MODEL, bytesPerSecond: 4_000_000 });
  const first = await newPage(browser, site.origin);
  const opened = await openAndRelease(first, `${hub.origin}${PATH}`);
  expect(opened).toMatchObject({ error: null, loaded: MODEL.length, total: MODEL.length });
  expect(opened.rates).toBeGreaterThan(0);
  expect(hub.sent(PATH)).toBe(MODEL.length);
  const second = await newPage(browser, site.otherOrigin);
  expect(await openAndRelease(second, `${hub.origin}${PATH}`)).toMatchObject({ error: null, loaded: MODEL.length });
  expect(hub.sent(PATH)).toBe(MODEL.length);
  expect(hub.requests.at(-1)).toMatchObject({ status: 304, origin: browser.extensionUrl("").replace(/\/$/, "") });
  await expectStored(browser);
});

test("two pages that ask at once cause one download, and both see it", async ({ launch, site, hub }) => {
  test.setTimeout(120_000);
  const browser = await launch();
  hub.files.set(PATH, { bytes: MODEL, bytesPerSecond: 4_000_000 });
  const pages = [await newPage(browser, site.origin), await newPage(browser, site.otherOrigin)];
  const opened = await Promise.all(pages.map((page) => openAndRelease(page, `${hub.origin}${PATH}`)));
  for (const one of opened) {
    expect(one).toMatchObject({ error: null, loaded: MODEL.length });
    expect(one.rates).toBeGreaterThan(0);
  }
  expect(hub.sent(PATH)).toBe(MODEL.length);
  await expectStored(browser);
});

test("a server that drops the connection again and again is read to the end, each byte once", async ({
  launch,
  site,
  hub,
}) => {
  test.setTimeout(120_000);
  const browser = await launch();
  hub.files.set(PATH, { bytes: MODEL, bytesPerSecond: 20_000_000, drops: [3_000_000, 2_000_000, 0, 1_000_000] });
  const page = await newPage(browser, site.origin);
  expect((await openAndRelease(page, `${hub.origin}${PATH}`)).error).toBeNull();
  expect(hub.requests.map(({ status }) => status)).toEqual([206, 206, 206, 206, 206]);
  // What was in the sockets when they broke is lost, and no more.
  expect(hub.sent(PATH)).toBeLessThan(MODEL.length + 4 * 1_000_000);
  await expectStored(browser);
});

test("after a SIGKILL of the browser the next one goes on where the bytes ended", async ({ launch, site, hub }) => {
  test.setTimeout(180_000);
  const browser = await launch();
  hub.files.set(PATH, { bytes: MODEL, bytesPerSecond: 2_500_000 });
  const page = await newPage(browser, site.origin);
  void openAndRelease(page, `${hub.origin}${PATH}`).catch(() => undefined);
  await expect.poll(() => hub.sent(PATH), { timeout: 30_000 }).toBeGreaterThan(6_000_000);
  await browser.kill();
  const sent = hub.sent(PATH);
  expect(sent).toBeLessThan(MODEL.length);
  await sleep(200);

  const again = await launch({ userDataDir: browser.userDataDir });
  hub.files.set(PATH, { bytes: MODEL });
  const second = await newPage(again, site.origin);
  expect((await openAndRelease(second, `${hub.origin}${PATH}`)).error).toBeNull();
  const resumed = hub.requests.at(-1);
  const from = Number(/^bytes=(\d+)-$/.exec(resumed?.range ?? "")?.[1]);
  expect(from).toBeGreaterThanOrEqual(4 * 1024 * 1024);
  expect(resumed).toMatchObject({ status: 206, sent: MODEL.length - from });
  await expectStored(again);
});
