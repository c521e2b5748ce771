import { PARKED_BYTES_PER_ORIGIN_MAX } from "../../src/base/limits.ts";
import { JOURNAL_SCHEMA } from "../../src/state/journal.ts";
import { continuation, MODEL } from "./checks/decoder.ts";
import { hostTargets, Popup, statusOf } from "./checks/status.ts";
import { type Browser, expect, openConsentedPage, type Page, test } from "./harness/fixtures.ts";
import { developerProfile, keepSession, launchConsented, openPage } from "./support/pages.ts";

const { prompt_ids: PROMPT, ids: EXPECTED } = continuation(0);
/** The grace of a page that is gone, and what a busy machine needs beside it. */
const PARKED = { timeout: 90_000, intervals: [500] };

async function generate(page: Page, tokens: number): Promise<number[]> {
  return page.evaluateWithin(
    120_000,
    async (prompt, maxNewTokens) => {
      const ids: number[] = [];
      for await (const { id } of window.kept.session?.generate(prompt, { maxNewTokens }) ?? []) ids.push(id);
      return ids;
    },
    [...PROMPT],
    tokens,
  );
}

/** What the browser has of the pool, from outside and from inside. */
async function census(browser: Browser) {
  const { hosts, spares, sessions } = await statusOf(browser);
  return {
    targets: (await hostTargets(browser)).length,
    hosts: hosts.length,
    spares: spares.map(({ phase }) => phase),
    sessions: sessions.map(({ status }) => status),
  };
}

const NOTHING = { targets: 0, hosts: 0, spares: [], sessions: [] };
/** A spare starts a moment after the session; on a busy machine it takes its time, and nobody waits for it. */
const SPARE_UP = { timeout: 120_000 };

test("the hosts of a session are gone after release(): tabs, frames and processes", async ({ launch, site }) => {
  test.setTimeout(300_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  expect(await census(browser)).toEqual(NOTHING);
  await keepSession(page, { shards: 3 });
  // A tab and a sandbox frame each, and for the spare.
  await expect
    .poll(() => census(browser), SPARE_UP)
    .toEqual({ targets: 8, hosts: 3, spares: ["ready"], sessions: ["live"] });
  const hosts = await page.evaluate(() => window.kept.session?.stages.map(({ hostId }) => hostId) ?? []);
  const pids = await Promise.all(hosts.map((hostId) => browser.processes.pidOfHost(hostId)));
  await page.evaluate(() => window.kept.session?.release());
  await expect.poll(() => census(browser), { timeout: 30_000 }).toEqual(NOTHING);
  await expect
    .poll(async () => (await browser.processes.rendererPids()).filter((pid) => pids.includes(pid)), { timeout: 30_000 })
    .toEqual([]);
});

/** The stages and runs of a session's stored checkpoints; `claim` first stores one that says to be so large. */
async function checkpointsOf(browser: Browser, sessionId: string, claim = 0): Promise<unknown[]> {
  // A page of the extension that does not wake the service worker.
  const inside = await browser.newPage(browser.extensionUrl("popup/consent.html"));
  const keys = await inside.evaluate(
    (id, bytes) =>
      new Promise<unknown[]>((resolve, reject) => {
        const opening = indexedDB.open("holdfast-checkpoints");
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const store = opening.result.transaction("checkpoints", "readwrite").objectStore("checkpoints");
          if (bytes > 0) store.put({ sessionId: id, stage: 0, run: 0, bytes });
          const found = store.getAllKeys(IDBKeyRange.bound([id], [id, []]));
          found.onsuccess = () => resolve(found.result);
          found.onerror = () => reject(found.error);
        };
      }),
    sessionId,
    claim,
  );
  await inside.close();
  return keys;
}

test("the hosts of a page that was closed are gone after its grace; its sessions are parked within the site's quota", async ({
  launch,
  site,
}) => {
  test.setTimeout(240_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  const [large, small] = [await keepSession(page, { shards: 1 }), await keepSession(page, { shards: 1 })];
  expect(await generate(page, 20)).toEqual(EXPECTED.slice(0, 20));
  await expect.poll(async () => (await checkpointsOf(browser, small)).length).toBeGreaterThan(0);
  expect(await checkpointsOf(browser, large, PARKED_BYTES_PER_ORIGIN_MAX + 1)).toHaveLength(1);
  // A pool that sleeps hears of it all the same.
  await browser.stopServiceWorker();
  await page.close();
  // In its grace everything is there still, for a page that comes back.
  await expect
    .poll(() => census(browser), SPARE_UP)
    .toEqual({ targets: 6, hosts: 2, spares: ["ready"], sessions: ["live", "live"] });
  await expect.poll(() => hostTargets(browser), PARKED).toEqual([]);
  await expect
    .poll(async () => (await statusOf(browser)).sessions)
    .toMatchObject([{ sessionId: small, status: "parked" }]);
  expect(await checkpointsOf(browser, large)).toEqual([]);
  expect(await checkpointsOf(browser, small)).not.toEqual([]);
});

test("@long an idle session lets the service worker sleep; a page that closes then is noticed, a run then works", async ({
  launch,
  site,
}) => {
  test.setTimeout(300_000);
  const browser = await launch();
  const [idle, closing] = [
    await openConsentedPage(browser, site.origin),
    await openConsentedPage(browser, site.otherOrigin),
  ];
  await keepSession(idle, { shards: 2 });
  await keepSession(closing, { shards: 1 });
  const asleep = async () =>
    !(await browser.targets()).some(
      ({ type, url }) => type === "service_worker" && url.startsWith(browser.extensionUrl("")),
    );
  await expect.poll(asleep, { timeout: 150_000, intervals: [500] }).toBe(true);
  expect(await generate(idle, 4)).toEqual(EXPECTED.slice(0, 4));
  await expect.poll(asleep, { timeout: 150_000, intervals: [500] }).toBe(true);
  await closing.close();
  // Not looked at from inside: that would wake the service worker.
  // A tab and a frame each of its two hosts and of the spare.
  await expect.poll(async () => (await hostTargets(browser)).length, PARKED).toBe(6);
  expect(await generate(idle, 4)).toEqual(EXPECTED.slice(0, 4));
  expect((await statusOf(browser)).faults).toEqual([]);
});

test("an extension that restarts leaves no host behind, and a page that is open goes on", async ({
  launch,
  site,
}, testInfo) => {
  test.setTimeout(240_000);
  const userDataDir = developerProfile(testInfo.outputPath("profile"));
  const { browser, page } = await launchConsented(launch, site.origin, { userDataDir });
  await keepSession(page, { shards: 3 });
  expect(await generate(page, 4)).toEqual(EXPECTED.slice(0, 4));
  const { hosts } = await statusOf(browser);
  const pids = await Promise.all(hosts.map(({ hostId }) => browser.processes.pidOfHost(hostId)));
  expect(pids).toHaveLength(3);

  const inside = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  await inside.evaluate(() => chrome.runtime.reload()).catch(() => undefined);
  await expect
    .poll(async () => (await browser.processes.rendererPids()).filter((pid) => pids.includes(pid)), { timeout: 60_000 })
    .toEqual([]);
  // The client library replaces its bridge, and the session gets hosts anew: as many as it had.
  expect(await generate(page, 6)).toEqual(EXPECTED.slice(0, 6));
  await expect
    .poll(() => census(browser), SPARE_UP)
    .toEqual({ targets: 8, hosts: 3, spares: ["ready"], sessions: ["live"] });
  await page.evaluate(() => window.kept.session?.release());
  await expect.poll(() => census(browser), { timeout: 30_000 }).toEqual(NOTHING);
});

test("after the service worker was stopped, sessions and hosts are as they were, and nothing runs twice", async ({
  launch,
  site,
}) => {
  test.setTimeout(180_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  const sessionId = await keepSession(page, { shards: 3 });
  const before = await statusOf(browser);
  await browser.stopServiceWorker();
  expect(await generate(page, 20)).toEqual(EXPECTED.slice(0, 20));
  const after = await statusOf(browser);
  const hostsOf = ({ hosts }: typeof after) => hosts.map(({ hostId, stage, attempt }) => ({ hostId, stage, attempt }));
  expect(hostsOf(after)).toEqual(hostsOf(before));
  expect(after.sessions).toMatchObject([{ sessionId, status: "live", tokens: 20 }]);
  expect(after.faults).toEqual([]);
  // A tab and a frame each of the hosts and of the spare.
  await expect.poll(async () => (await hostTargets(browser)).length, SPARE_UP).toBe(8);
});

test("a service worker that cannot start is told to the page, and serves as soon as it can", async ({
  launch,
  site,
}) => {
  test.setTimeout(180_000);
  const browser = await launch();
  const page = await openPage(browser, site.origin);
  // A page of the extension that does not wake the service worker. A journal without its stores cannot be read.
  const inside = await browser.newPage(browser.extensionUrl("popup/consent.html"));
  await browser.stopServiceWorker();
  await inside.evaluate(
    (version) =>
      new Promise<void>((resolve, reject) => {
        const gone = indexedDB.deleteDatabase("holdfast-journal");
        gone.onerror = () => reject(gone.error);
        gone.onsuccess = () => {
          const empty = indexedDB.open("holdfast-journal", version);
          empty.onsuccess = () => resolve(empty.result.close());
          empty.onerror = () => reject(empty.error);
        };
      }),
    JOURNAL_SCHEMA,
  );
  const refused = await page.evaluate(() => window.rejection(window.holdfast.connect()));
  expect(refused).toMatchObject({ typed: true, code: "EXTENSION_DISCONNECTED", category: "CONNECTION" });
  expect(refused?.message).toMatch(/reload the extension/);
  await inside.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const gone = indexedDB.deleteDatabase("holdfast-journal");
        gone.onsuccess = () => resolve();
        gone.onerror = () => reject(gone.error);
      }),
  );
  await inside.close();
  const connected = page.evaluate(() => window.rejection(window.holdfast.connect()));
  await browser.clickConsent("allow");
  expect(await connected).toBeNull();
});

/** Entries of the history that are on disk; `damage` is written among them first. */
async function storedEntries(browser: Browser, damage: object | null = null): Promise<number> {
  const inside = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  try {
    return await inside.evaluate(
      (row) =>
        new Promise<number>((resolve, reject) => {
          const open = indexedDB.open("holdfast-history");
          open.onerror = () => reject(open.error);
          open.onsuccess = () => {
            const entries = open.result.transaction("entries", "readwrite").objectStore("entries");
            if (row !== null) entries.put(row);
            const count = entries.count();
            count.onsuccess = () => resolve(count.result);
            count.onerror = () => reject(count.error);
          };
        }),
      damage,
    );
  } finally {
    await inside.close();
  }
}

test("each host's capability report shows in the status, and the history of its work outlives the service worker", async ({
  launch,
  site,
}) => {
  test.setTimeout(180_000);
  const browser = await launch();
  const page = await openConsentedPage(browser, site.origin);
  await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    pool.registerModel("moby", model, { task: "text-generation" });
    window.kept = { session: await pool.createSession("moby", { shards: 2 }) };
  }, MODEL);
  expect(await generate(page, 20)).toEqual(EXPECTED.slice(0, 20));
  const { hosts, sessions } = await statusOf(browser);
  expect(sessions.map(({ model }) => model)).toEqual(["moby"]);
  expect(hosts).toHaveLength(2);
  const cores = await page.evaluate(() => navigator.hardwareConcurrency);
  for (const { provider, report } of hosts) {
    expect(report?.provider).toBe(provider);
    const { capability, speed } = report ?? {};
    expect(capability).toMatchObject({ browser: { type: "chrome" }, threads: 1, cores });
    expect(capability?.browser.version).toMatch(/^\d+/);
    expect(capability?.providers).toContain(provider);
    expect(capability?.memoryGiB).toBeGreaterThan(0);
    // The least that WebGPU promises, where a device could be made at all.
    if (capability?.providers.includes("webgpu"))
      expect(capability.gpuLimits?.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(2 ** 27);
    else expect(capability?.gpuLimits).toBeNull();
    // A machine that is busy while the host boots tells no speed.
    if (speed !== null) expect(speed?.flopsPerMs).toBeGreaterThan(0);
  }

  // A load, and the times of both stages, which come within a second or two after the runs, and on disk a second later.
  await expect.poll(() => storedEntries(browser), { timeout: 30_000 }).toBeGreaterThanOrEqual(3);
  // Each host that boots reports of its device anew, the spare as the last of them.
  const spares = async () => (await statusOf(browser)).spares.map(({ phase }) => phase);
  await expect.poll(spares, SPARE_UP).toEqual(["ready"]);
  const before = await statusOf(browser);
  expect(before.history).toMatchObject({ successRate: 1, operationTypes: ["inference", "load"] });
  const stored = await storedEntries(browser);
  await browser.stopServiceWorker();
  const after = await statusOf(browser);
  expect(after.history).toMatchObject({ successRate: 1, operationTypes: ["inference", "load"] });
  expect(after.history.totalEntries).toBeGreaterThanOrEqual(stored);
  expect(after.hosts.map(({ report }) => report)).toEqual(before.hosts.map(({ report }) => report));

  // A history that cannot be read is done without: the session goes on, and new work is noted.
  expect(await storedEntries(browser, { sequence: 1_000_000, status: "damaged" })).toBeGreaterThan(stored);
  await browser.stopServiceWorker();
  expect((await statusOf(browser)).history.totalEntries).toBe(0);
  expect(await generate(page, 20)).toEqual(EXPECTED.slice(0, 20));
  await expect.poll(() => storedEntries(browser), { timeout: 30_000 }).toBeGreaterThanOrEqual(2);
  await browser.stopServiceWorker();
  expect((await statusOf(browser)).history.operationTypes).toEqual(["inference"]);
});

test("after the browser was killed and started again, its sessions are parked and no host is left over", async ({
  launch,
  site,
}) => {
  test.setTimeout(240_000);
  const { browser: first, page } = await launchConsented(launch, site.origin);
  const sessionId = await keepSession(page, { shards: 2 });
  expect(await generate(page, 20)).toEqual(EXPECTED.slice(0, 20));
  await expect.poll(async () => (await statusOf(first)).sessions[0]?.tokens).toBe(20);
  await first.kill();

  const second = await launch({ userDataDir: first.userDataDir });
  const { sessions, hosts, consents, faults } = await statusOf(second);
  expect(sessions).toMatchObject([{ sessionId, status: "parked", tokens: 20 }]);
  expect(hosts).toEqual([]);
  expect(faults).toEqual([]);
  expect(consents).toMatchObject([{ origin: site.origin, allowed: true }]);
  expect(await hostTargets(second)).toEqual([]);
  // The consent that was given before is remembered: no question, and the model runs.
  const again = await openPage(second, site.origin);
  await keepSession(again, { shards: 2 });
  expect(await generate(again, 4)).toEqual(EXPECTED.slice(0, 4));
});

test("the offscreen document serves level none, and is emptied for a session above it", async ({ launch, site }) => {
  test.setTimeout(240_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  const NONE = { place: "offscreen", faultToleranceLevel: "none" } as const;
  const refused = (options: object) =>
    page.evaluate(
      async (model, asked) => {
        const pool = await window.holdfast.connect();
        return window.rejection(pool.createSession(model, asked));
      },
      MODEL,
      options,
    );
  await keepSession(page, { shards: 2, ...NONE });
  expect(await generate(page, 6)).toEqual(EXPECTED.slice(0, 6));
  const offscreen = (await browser.targets()).filter(({ url }) => url.includes("offscreen/offscreen.html"));
  expect(offscreen).toHaveLength(1);
  expect((await hostTargets(browser)).some((url) => url.includes("host-tab.html"))).toBe(false);
  expect((await statusOf(browser)).hosts.map(({ place }) => place)).toEqual(["offscreen", "offscreen"]);

  // Nothing of a session at level none is at risk: it may sit in tabs meanwhile.
  expect(await refused({ shards: 1, faultToleranceLevel: "none" })).toBeNull();
  expect((await statusOf(browser)).hosts.map(({ place }) => place).sort()).toEqual(["offscreen", "offscreen", "tab"]);

  // One above it has the offscreen document emptied, in the middle of a generation at the level that keeps no state.
  const generating = generate(page, 24);
  expect(await refused({ shards: 1 })).toBeNull();
  expect(await generating).toEqual(EXPECTED.slice(0, 24));
  expect((await statusOf(browser)).hosts.map(({ place }) => place)).toEqual(["tab", "tab", "tab", "tab"]);
  expect((await hostTargets(browser)).filter((url) => url.includes("offscreen.html"))).toEqual([]);
  const beside = await refused({ shards: 1, ...NONE });
  expect(beside).toMatchObject({ typed: true, code: "PLACE_IN_USE" });
  expect(beside?.message).toMatch(/place tab/);
  await page.evaluate(() => window.kept.session?.release());
  const popup = await Popup.open(browser);
  for (const { sessionId } of (await popup.status()).sessions) await popup.call("closeSession", { sessionId });
  await popup.close();
  await expect.poll(() => census(browser), { timeout: 30_000 }).toEqual(NOTHING);
});
