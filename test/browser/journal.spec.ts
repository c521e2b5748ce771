import type { ExportedTransaction } from "../../src/state/log-export.ts";
import { continuation } from "./checks/decoder.ts";
import { Popup, statusOf } from "./checks/status.ts";
import { type Browser, expect, type Page, test } from "./harness/fixtures.ts";
import { keepSession, launchConsented, openPage } from "./support/pages.ts";

const { prompt_ids: PROMPT, ids: EXPECTED } = continuation(0);

function generate(page: Page, maxNewTokens: number): Promise<number[]> {
  return page.evaluateWithin(
    120_000,
    async (prompt, wanted) => {
      const ids: number[] = [];
      for await (const { id } of window.kept.session?.generate(prompt, { maxNewTokens: wanted }) ?? []) ids.push(id);
      return ids;
    },
    [...PROMPT],
    maxNewTokens,
  );
}

async function exportedLog(browser: Browser): Promise<ExportedTransaction[]> {
  const popup = await Popup.open(browser);
  try {
    return JSON.parse(await popup.call("exportLog", null)) as ExportedTransaction[];
  } finally {
    await popup.close();
  }
}

/** Flips a character of the newest stored record, while nobody has the journal open. */
async function damageNewestRecord(browser: Browser): Promise<number> {
  // A page of the extension that asks nobody anything, and so wakes nobody.
  const page = await browser.newPage(browser.extensionUrl("manifest.json"));
  await browser.stopServiceWorker();
  const sequence = await page.evaluate(async () => {
    const answer = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const db = await answer(indexedDB.open("holdfast-journal"));
    const store = db.transaction("journal", "readwrite").objectStore("journal");
    const record = (await answer(store.getAll())).at(-1) as { sequence: number; body: string };
    const middle = record.body.length >> 1;
    const flipped = String.fromCharCode(record.body.charCodeAt(middle) ^ 1);
    await answer(
      store.put({ ...record, body: record.body.slice(0, middle) + flipped + record.body.slice(middle + 1) }),
    );
    db.close();
    return record.sequence;
  });
  await page.close();
  return sequence;
}

test("the transaction log goes on over the end of the service worker, without a gap", async ({ launch, site }) => {
  test.setTimeout(180_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  const sessionId = await keepSession(page, { shards: 2 });
  expect(await generate(page, 20)).toEqual(EXPECTED.slice(0, 20));
  const before = await exportedLog(browser);
  await browser.stopServiceWorker();
  expect(await generate(page, 20)).toEqual(EXPECTED.slice(0, 20));
  const after = await exportedLog(browser);
  expect(after.slice(0, before.length)).toEqual(before);
  expect(after.map(({ sequence }) => sequence)).toEqual(after.map((_, at) => at + 1));
  const hosts = (await statusOf(browser)).hosts.map(({ hostId }) => hostId);
  for (const list of [before, after.slice(before.length)]) {
    for (const hostId of hosts) {
      const operations = list.filter(({ data }) => data["browser_id"] === hostId && "operation_id" in data);
      expect(operations.map(({ action, data }) => [action, data["status"] ?? "running"])).toEqual([
        ["add_operation_to_browser", "running"],
        ["complete_browser_operation", "completed"],
      ]);
    }
  }
  const resources = after.filter(({ action }) => action === "update_browser_resources");
  expect(new Set(resources.map(({ data }) => data["browser_id"]))).toEqual(new Set(hosts));
  expect(JSON.stringify(resources[0]?.data["resources"])).toMatch(/"tensors":\{"type":"tensors","bytes":[1-9]/);
  expect(after.find(({ action }) => action === "add_model_to_browser")?.data).toMatchObject({
    model_id: `${sessionId}/0`,
    browser_id: expect.any(String),
  });
  expect((await statusOf(browser)).repairs).toEqual([]);
});

test("a damaged record is detected, repaired and told, and the session goes on", async ({ launch, site }) => {
  test.setTimeout(180_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  await keepSession(page, { shards: 2 });
  expect(await generate(page, 4)).toEqual(EXPECTED.slice(0, 4));
  const sequence = await damageNewestRecord(browser);
  // A host's report may have woken the service worker before the damage was done: then only its next start meets it.
  await browser.stopServiceWorker();
  const { repairs } = await statusOf(browser);
  expect(repairs).toMatchObject([{ kind: "digest" }]);
  expect(repairs[0]?.lost).toBeGreaterThanOrEqual(1);
  const log = await exportedLog(browser);
  expect(log.find((entry) => entry.sequence === sequence)).toMatchObject({ action: "repair_log", data: { sequence } });
  expect(await generate(page, 4)).toEqual(EXPECTED.slice(0, 4));
  await browser.stopServiceWorker();
  expect((await statusOf(browser)).repairs).toHaveLength(1);
});

test("a journal of a newer version is refused by name, and left as it is", async ({ launch, site }) => {
  test.setTimeout(120_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  await page.close();
  const inside = await browser.newPage(browser.extensionUrl("manifest.json"));
  await browser.stopServiceWorker();
  const version = (wanted: number | null = null): Promise<number> =>
    inside.evaluate(
      (asked) =>
        new Promise<number>((resolve, reject) => {
          const request = indexedDB.open("holdfast-journal", asked ?? undefined);
          request.onsuccess = () => {
            resolve(request.result.version);
            request.result.close();
          };
          request.onerror = () => reject(request.error);
        }),
      wanted,
    );
  expect(await version(99)).toBe(99);
  const later = await openPage(browser, site.origin);
  const code = await later.evaluateWithin(60_000, () =>
    window.holdfast.connect().then(
      () => "connected",
      (error: { code: string }) => error.code,
    ),
  );
  expect(code).toBe("STORE_NEWER");
  expect(await version()).toBe(99);
});
