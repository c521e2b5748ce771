import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { sleep } from "../../src/demo/launch/wait.mjs";
import { installRejection, type Rejection } from "./checks/errors.ts";
import { hostTargets } from "./checks/status.ts";
import { type Browser, test as base, expect, openConsentedPage, type Page } from "./harness/fixtures.ts";
import { type Hub, openHub } from "./harness/hub.ts";
import { deleteModel, onExtensionPage, setQuota, storedFiles } from "./support/stored.ts";

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

/** The same model as another file: its producer is named once more, at its end (ModelProto's field 2). */
function variant(id: number): Uint8Array {
  return new Uint8Array(Buffer.concat([MODEL, Uint8Array.of(0x12, 1, 65 + id)]));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What of the store is of these bytes: its name, its size, and the hash of what is really there. */
async function stored(browser: Browser, bytes: Uint8Array): Promise<object | undefined> {
  return (await storedFiles(browser)).blobs.find(({ name }) => name === sha256(bytes));
}

function blobOf(bytes: Uint8Array): object {
  return { name: sha256(bytes), size: bytes.length, sha256: sha256(bytes) };
}

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
      if (error === null && stays) window.kept = { session: await opened };
      else if (error === null) await (await opened).release();
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

test("a host tab that is closed while the model comes in: the open goes on where the bytes ended", async ({
  browser,
  page,
  hub,
}) => {
  test.setTimeout(120_000);
  await installRejection(page);
  const bytes = variant(0);
  const file = { bytes, bytesPerSecond: 2_500_000 };
  hub.files.set("/closed.onnx", file);
  const opened = openAndRelease(page, `${hub.origin}/closed.onnx`);
  await expect.poll(() => hub.sent("/closed.onnx"), { timeout: 30_000 }).toBeGreaterThan(6_000_000);
  const tab = (await browser.targets()).find(({ url }) => url.includes("host-tab.html?host="));
  Object.assign(file, { bytesPerSecond: 50_000_000 });
  await browser.cdp.send("Target.closeTarget", { targetId: tab?.targetId });
  expect((await opened).error).toBeNull();
  const resumed = hub.requests.at(-1);
  const from = Number(/^bytes=(\d+)-$/.exec(resumed?.range ?? "")?.[1]);
  expect(from).toBeGreaterThanOrEqual(4 * 1024 * 1024);
  expect(resumed).toMatchObject({ status: 206, sent: bytes.length - from });
  expect(await stored(browser, bytes)).toEqual(blobOf(bytes));
});

test("a page that is closed while its model comes in: the next page, of another site, goes on where the bytes ended", async ({
  browser,
  site,
  hub,
}) => {
  test.setTimeout(120_000);
  const bytes = variant(8);
  const file = { bytes, bytesPerSecond: 2_500_000 };
  hub.files.set("/left.onnx", file);
  const first = await newPage(browser, site.origin);
  void openAndRelease(first, `${hub.origin}/left.onnx`).catch(() => undefined);
  await expect.poll(() => hub.sent("/left.onnx"), { timeout: 30_000 }).toBeGreaterThan(6_000_000);
  await first.close();
  await expect.poll(async () => (await hostTargets(browser)).length, { timeout: 30_000 }).toBe(0);
  Object.assign(file, { bytesPerSecond: 50_000_000 });
  const second = await newPage(browser, site.otherOrigin);
  expect((await openAndRelease(second, `${hub.origin}/left.onnx`)).error).toBeNull();
  await second.close();
  const from = Number(/^bytes=(\d+)-$/.exec(hub.requests.at(-1)?.range ?? "")?.[1]);
  expect(from).toBeGreaterThanOrEqual(4 * 1024 * 1024);
  expect(hub.requests.at(-1)).toMatchObject({ status: 206, sent: bytes.length - from });
  expect(await stored(browser, bytes)).toEqual(blobOf(bytes));
});

test("a server whose CORS rules forbid If-Range and If-None-Match is resumed and asked again all the same", async ({
  browser,
  page,
  hub,
}) => {
  test.setTimeout(120_000);
  await installRejection(page);
  const bytes = variant(1);
  const file = { bytes, allowHeaders: "x-none", drops: [5_000_000], bytesPerSecond: 20_000_000 };
  hub.files.set("/strict.onnx", file);
  expect((await openAndRelease(page, `${hub.origin}/strict.onnx`)).error).toBeNull();
  expect(hub.requests.map(({ status, headers }) => [status, headers["if-range"]])).toEqual([
    [206, undefined],
    [206, undefined],
  ]);
  expect(hub.requests[1]?.range).not.toBe("bytes=0-");
  expect(await stored(browser, bytes)).toEqual(blobOf(bytes));
  const sent = hub.sent("/strict.onnx");
  expect((await openAndRelease(page, `${hub.origin}/strict.onnx`)).error).toBeNull();
  expect([hub.requests.at(-1)?.method, hub.sent("/strict.onnx")]).toEqual(["HEAD", sent]);
});

test("servers that ignore ranges, or whose file changed in between, are read afresh", async ({
  browser,
  page,
  hub,
}) => {
  test.setTimeout(120_000);
  await installRejection(page);
  const bytes = variant(2);
  hub.files.set("/plain.onnx", { bytes, ignoresRange: true, drops: [5_000_000], bytesPerSecond: 20_000_000 });
  expect((await openAndRelease(page, `${hub.origin}/plain.onnx`)).error).toBeNull();
  expect(hub.requests.map(({ status }) => status)).toEqual([200, 200]);
  expect(await stored(browser, bytes)).toEqual(blobOf(bytes));

  const old = variant(3);
  const fresh = variant(4);
  // Slow enough that the file has changed before the first answer breaks off.
  const file = { bytes: old, drops: [5_000_000], bytesPerSecond: 1_500_000 };
  hub.files.set("/changing.onnx", file);
  const opened = openAndRelease(page, `${hub.origin}/changing.onnx`);
  const sent = () => hub.sent("/changing.onnx");
  await expect.poll(sent, { timeout: 30_000, intervals: [100] }).toBeGreaterThan(2_000_000);
  Object.assign(file, { bytes: fresh, bytesPerSecond: 10_000_000 });
  expect((await opened).error).toBeNull();
  expect(await stored(browser, fresh)).toEqual(blobOf(fresh));
  expect(await stored(browser, old)).toBeUndefined();
  // And between two sessions: the URL's new content, not the stored one.
  file.bytes = old;
  expect((await openAndRelease(page, `${hub.origin}/changing.onnx`)).error).toBeNull();
  expect(await stored(browser, old)).toEqual(blobOf(old));
});

test("a file that is not the one that integrity names is refused, and nothing of it stays", async ({
  browser,
  page,
  hub,
}) => {
  test.setTimeout(120_000);
  await installRejection(page);
  const bytes = variant(5);
  const wrong = "0".repeat(64);
  // Downloads that other tests broke off may still be gone on with.
  const before = (await storedFiles(browser)).partial;
  hub.files.set("/hashed.onnx", { bytes });
  const url = `${hub.origin}/hashed.onnx`;
  const refused = { typed: true, code: "MODEL_INTEGRITY", message: expect.stringContaining(sha256(bytes)) };
  expect((await openAndRelease(page, { url, integrity: wrong })).error).toMatchObject(refused);
  const after = await storedFiles(browser);
  expect(after.partial).toEqual(before);
  expect(after.blobs.map(({ name }) => name)).not.toContain(sha256(bytes));

  const base64 = createHash("sha256").update(bytes).digest("base64");
  expect((await openAndRelease(page, { url, integrity: `sha256-${base64}` })).error).toBeNull();
  expect(await stored(browser, bytes)).toEqual(blobOf(bytes));
  const sent = hub.sent("/hashed.onnx");
  expect((await openAndRelease(page, { url, integrity: wrong })).error).toMatchObject(refused);
  expect(hub.sent("/hashed.onnx")).toBe(sent);
  // What the page sends itself is held to it as well.
  const given = await page.evaluateWithin(
    60_000,
    async (model) => {
      const pool = await window.holdfast.connect();
      const data = await (await fetch(model)).arrayBuffer();
      return window.rejection(pool.createSession({ graph: data, externalData: {}, integrity: "1".repeat(64) }));
    },
    url,
  );
  expect(given).toMatchObject({ typed: true, code: "MODEL_INTEGRITY" });
  expect((await storedFiles(browser)).partial).toEqual(before);
});

test("what only one site may read stays that site's: the page reads it, and no other site gets it", async ({
  browser,
  page,
  site,
  hub,
}) => {
  test.setTimeout(180_000);
  await installRejection(page);
  const extension = browser.extensionUrl("").replace(/\/$/, "");
  const bytes = variant(6);
  const url = `${hub.origin}/private.onnx`;
  hub.files.set("/private.onnx", { bytes, cors: site.origin });
  expect((await openAndRelease(page, url)).error).toBeNull();
  expect(await stored(browser, bytes)).toEqual(blobOf(bytes));
  expect(hub.requests.at(-1)?.origin).toBe(site.origin);
  const { status } = await storedFiles(browser);
  expect(status.models.find(({ digests }) => digests.includes(sha256(bytes)))).toMatchObject({ sentBy: [site.origin] });
  // It is stored, its URL is known, and so is its hash: none of that gives another site a byte.
  const other = await newPage(browser, site.otherOrigin);
  expect((await openAndRelease(other, { url, integrity: sha256(bytes) })).error).toMatchObject({
    typed: true,
    code: "MODEL_FETCH_FAILED",
  });

  // With a header that the page was given: the extension never sees it.
  const secret = variant(7);
  hub.files.set("/token.onnx", {
    bytes: secret,
    needsHeader: ["authorization", "Bearer secret"],
    allowHeaders: "authorization, range, if-range",
    drops: [5_000_000],
    bytesPerSecond: 20_000_000,
  });
  const source = { url: `${hub.origin}/token.onnx`, headers: { Authorization: "Bearer secret" } };
  hub.requests.length = 0;
  expect((await openAndRelease(page, source)).error).toBeNull();
  // The browser's own cache has a hand in it: it asks for the rest in pieces of its own.
  expect(new Set(hub.requests.map(({ origin }) => origin))).toEqual(new Set([site.origin]));
  expect(hub.sent("/token.onnx")).toBeLessThan(secret.length + 1_000_000);
  expect(await stored(browser, secret)).toEqual(blobOf(secret));
  expect((await openAndRelease(other, `${hub.origin}/token.onnx`)).error).toMatchObject({
    code: "MODEL_FETCH_FAILED",
    message: expect.stringContaining("401"),
  });
  expect(hub.requests.filter(({ origin }) => origin === extension).map(({ headers }) => headers.authorization)).toEqual(
    [undefined],
  );
  await other.close();
});

test("a repository's model is found with its external data, over redirections, and shared", async ({
  browser,
  page,
  site,
  hub,
}) => {
  test.setTimeout(180_000);
  await installRejection(page);
  const folder = join(ROOT, "test/models/moby-llama/onnx-external");
  for (const name of ["model.onnx", "model.onnx_data"]) {
    const bytes = new Uint8Array(readFileSync(join(folder, name)));
    hub.files.set(`/org/moby/resolve/v1/onnx/${name}`, { bytes, redirect: `/cdn/${name}` });
    hub.files.set(`/cdn/${name}`, { bytes, cacheControl: "max-age=3600" });
  }
  const model = { repo: "org/moby", revision: "v1", endpoint: hub.origin };
  const opened = await openAndRelease(page, model);
  expect(opened.error).toBeNull();
  expect(opened.loaded).toBe(opened.total);
  const sent = hub.sent("/cdn/model.onnx_data");
  expect(sent).toBeGreaterThan(10_000_000);
  const other = await newPage(browser, site.otherOrigin);
  expect((await openAndRelease(other, model)).error).toBeNull();
  expect(hub.sent("/cdn/model.onnx_data")).toBe(sent);
  // A branch may move: its address is asked, however long the file that it leads to may be kept.
  expect(hub.requests.filter(({ path }) => path.startsWith("/org/")).length).toBe(4);
  // By its full address too.
  expect((await openAndRelease(other, `${hub.origin}/org/moby/resolve/v1/onnx/model.onnx`)).error).toBeNull();
  expect(hub.sent("/cdn/model.onnx_data")).toBe(sent);
  await other.close();
  expect((await openAndRelease(page, { ...model, file: "onnx/none.onnx" })).error).toMatchObject({
    code: "MODEL_FETCH_FAILED",
    message: expect.stringContaining("404"),
  });
});

test("files that the user picked, and streams of bytes, become models", async ({ page }) => {
  test.setTimeout(120_000);
  await installRejection(page);
  const errors = await page.evaluateWithin(100_000, async () => {
    const pool = await window.holdfast.connect();
    const read = async (name: string) => (await fetch(`/models/moby-llama/onnx-external/${name}`)).blob();
    const [graph, data] = await Promise.all([read("model.onnx"), read("model.onnx_data")]);
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("picked", { create: true });
    for (const [name, blob] of [
      ["model.onnx", graph],
      ["model.onnx_data", data],
    ] as const) {
      const writer = await (await folder.getFileHandle(name, { create: true })).createWritable();
      await writer.write(blob);
      await writer.close();
    }
    const sources = {
      files: [new File([data], "model.onnx_data"), new File([graph], "model.onnx")],
      folder,
      streams: { graph: graph.stream(), externalData: { "model.onnx_data": data.stream() } },
      "a file without its data": [new File([graph], "model.onnx")],
      "a stream that was read": { graph: graph.stream(), externalData: {} },
    };
    await sources["a stream that was read"].graph.getReader().read();
    const found: Record<string, unknown> = {};
    for (const [name, source] of Object.entries(sources)) {
      const opened = pool.createSession(source as Parameters<typeof pool.createSession>[0]);
      found[name] = (await window.rejection(opened))?.code ?? null;
      if (found[name] === null) await (await opened).release();
    }
    return found;
  });
  expect(errors).toEqual({
    files: null,
    folder: null,
    streams: null,
    "a file without its data": "BAD_MODEL",
    "a stream that was read": "BAD_OPTIONS",
  });
});

test("a quota evicts the longest unused, never what a session uses, and nothing when that would not do", async ({
  launch,
  site,
  hub,
}) => {
  test.setTimeout(240_000);
  const browser = await launch();
  const page = await newPage(browser, site.origin);
  const models = [0, 1, 2, 3].map(variant);
  for (const [id, bytes] of models.entries()) hub.files.set(`/${id}.onnx`, { bytes });
  const open = async (id: number, keep = false) =>
    (await openAndRelease(page, `${hub.origin}/${id}.onnx`, keep)).error?.code ?? null;
  const there = async () => {
    const { blobs } = await storedFiles(browser);
    return models.flatMap((bytes, id) => (blobs.some(({ name }) => name === sha256(bytes)) ? [id] : []));
  };
  expect([await open(0), await open(1), await open(0), await open(2)]).toEqual([null, null, null, null]);
  expect(await there()).toEqual([0, 1, 2]);
  await setQuota(browser, MODEL.length * 3.5);
  expect(await open(3)).toBeNull();
  // Model 1 was not used again after model 0 was.
  expect(await there()).toEqual([0, 2, 3]);

  // A live session: its model stays, also over a death of the host that took it in.
  expect(await open(2, true)).toBeNull();
  await setQuota(browser, MODEL.length * 1.5);
  expect(await there()).toEqual([2]);
  const sent = hub.requests.length;
  Object.assign(hub.files.get("/0.onnx") ?? {}, { bytesPerSecond: 5_000_000 });
  expect(await open(0)).toBe("QUOTA_EXCEEDED");
  expect(await there()).toEqual([2]);
  expect((await storedFiles(browser)).partial).toEqual([]);
  // It was refused before its bytes were read.
  expect(hub.requests.slice(sent).reduce((sum, one) => sum + one.sent, 0)).toBeLessThan(MODEL.length / 2);
  await deleteModel(browser, [sha256(models[2] as Uint8Array)]);
  expect(await there()).toEqual([2]);

  await page.evaluate(() => window.kept.session?.release());
  await page.close();
  const next = await newPage(browser, site.otherOrigin);
  await expect.poll(async () => (await hostTargets(browser)).length, { timeout: 60_000 }).toBe(0);
  await deleteModel(browser, [sha256(models[2] as Uint8Array)]);
  expect(await there()).toEqual([]);
  // A site's own bytes: half of the quota at most.
  const pushed = await next.evaluateWithin(
    60_000,
    async (url) => {
      const pool = await window.holdfast.connect();
      const bytes = await (await fetch(url)).arrayBuffer();
      return window.rejection(pool.createSession(bytes));
    },
    `${hub.origin}/1.onnx`,
  );
  expect(pushed).toMatchObject({ typed: true, code: "QUOTA_EXCEEDED", message: expect.stringContaining("50 %") });
});

test("the popup lists the models, says what they take, sets the quota and deletes", async ({ launch, site, hub }) => {
  test.setTimeout(120_000);
  const browser = await launch();
  const page = await newPage(browser, site.origin);
  hub.files.set("/listed.onnx", { bytes: MODEL });
  expect((await openAndRelease(page, `${hub.origin}/listed.onnx`)).error).toBeNull();
  await expect.poll(async () => (await hostTargets(browser)).length, { timeout: 30_000 }).toBe(0);
  const popup = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  await popup.waitFor("document.querySelectorAll('#models .row').length === 1");
  const text = await popup.evaluate(() => document.getElementById("models-section")?.textContent ?? "");
  expect(text).toMatch(/listed\.onnx/);
  expect(text).toMatch(/10\.\d MiB · used just now/);
  expect(text).toMatch(/of 20\.00 GiB used\./);
  // unlimitedStorage: the browser does not clear it under pressure.
  expect(text).not.toMatch(/may clear/);
  await popup.evaluate(() => {
    const field = document.getElementById("quota") as HTMLInputElement;
    field.value = "2.5";
    field.form?.requestSubmit();
  });
  await popup.waitFor("document.getElementById('models-note').textContent.includes('of 2.50 GiB used')");
  await popup.evaluate(() => document.querySelector<HTMLButtonElement>("#models button")?.click());
  await popup.waitFor("document.querySelectorAll('#models .row').length === 0");
  await popup.close();
  const { blobs, plans, status } = await storedFiles(browser);
  expect([blobs, plans, status.usedBytes]).toEqual([[], 0, 0]);
});

test("what nobody goes on with is cleaned away when the next host starts", async ({ launch, site, hub }) => {
  test.setTimeout(120_000);
  const browser = await launch();
  const page = await newPage(browser, site.origin);
  hub.files.set("/clean.onnx", { bytes: MODEL });
  expect((await openAndRelease(page, `${hub.origin}/clean.onnx`)).error).toBeNull();
  await onExtensionPage(browser, (inside) =>
    inside.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const partial = await root.getDirectoryHandle("partial");
      for (const name of ["unknown", "stale", "recent"]) await partial.getFileHandle(name, { create: true });
      const db = await new Promise<IDBDatabase>((resolve, reject) => {
        const opening = indexedDB.open("holdfast-models");
        opening.onsuccess = () => resolve(opening.result);
        opening.onerror = () => reject(opening.error);
      });
      const store = db.transaction("partials", "readwrite").objectStore("partials");
      const day = 24 * 3_600_000;
      for (const [file, age] of [
        ["stale", 2 * day],
        ["recent", day / 2],
      ] as const) {
        const none = { etag: null, lastModified: null, total: null, bytes: 0, hasher: null, reservedBytes: 0 };
        store.put({ key: `https://${file}.example/`, file, origin: null, ...none, updatedAt: Date.now() - age });
      }
      await new Promise((resolve) => store.transaction.addEventListener("complete", resolve));
      db.close();
    }),
  );
  expect((await storedFiles(browser)).partial.length).toBe(3);
  expect((await openAndRelease(page, `${hub.origin}/clean.onnx`)).error).toBeNull();
  await expect.poll(async () => (await storedFiles(browser)).partial.length, { timeout: 20_000 }).toBe(1);
});
