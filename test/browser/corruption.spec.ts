/** What lies in the browser's database is damaged, one bit of each kind: it is noticed each time, and nobody computes with it. */
import { continuation } from "./checks/decoder.ts";
import { statusOf } from "./checks/status.ts";
import { type Browser, expect, test } from "./harness/fixtures.ts";
import { course, installCourse } from "./support/course.ts";
import { type Damage, damage, insidePage } from "./support/damage.ts";
import { launchConsented, openPage } from "./support/pages.ts";
import { randomFor, SEED } from "./support/random.ts";

const { prompt_ids, ids } = continuation(0);
const STEPS = 32;
const TOKENS = [...prompt_ids, ...ids].slice(0, STEPS);
/** Durable points are asked for after these runs; whatever else the schedule stores lies between them or before. */
const [OLDER, NEWER] = [11, 23];

const CHECKPOINTS = { database: "holdfast-checkpoints", store: "checkpoints" } as const;

interface Kind {
  readonly name: string;
  readonly shards: number;
  /** Of stage 0 or 1. */
  readonly stage: number;
  readonly damage: Pick<Damage, "field" | "before"> | null;
}

const KINDS: readonly Kind[] = [
  { name: "nothing", shards: 1, stage: 0, damage: null },
  { name: "the header", shards: 2, stage: 1, damage: { field: "header" } },
  { name: "the payload", shards: 2, stage: 0, damage: { field: "payload" } },
  { name: "the digest", shards: 1, stage: 0, damage: { field: "digest" } },
  { name: "the run that it is stored under", shards: 1, stage: 0, damage: { field: "run" } },
  { name: "the size in the index", shards: 1, stage: 0, damage: { field: "bytes" } },
  { name: "all payloads of a stage", shards: 2, stage: 1, damage: { field: "payload", before: "all" } },
];

test("stored checkpoints of which a bit is wrong are not used by a session that has nothing else", async ({
  launch,
  site,
}) => {
  test.setTimeout(300_000);
  const random = randomFor("damaged checkpoints");
  const { browser: first, page } = await launchConsented(launch, site.origin);
  await installCourse(page, TOKENS);
  const sessionIds: string[] = [];
  for (const { name, shards } of KINDS) {
    sessionIds.push(await course.open(page, name, shards));
    expect(await course.run(page, name, 0, OLDER + 1)).toBeNull();
    expect(await course.durable(page, name)).toBe(OLDER);
    expect(await course.run(page, name, OLDER + 1, NEWER + 1)).toBeNull();
    expect(await course.durable(page, name)).toBe(NEWER);
  }
  await first.kill();

  const browser = await launch({ userDataDir: first.userDataDir });
  const inside = await insidePage(browser);
  for (const [index, { name, stage, damage: wanted }] of KINDS.entries()) {
    const prefix = [sessionIds[index] as string, stage];
    if (wanted === null) continue;
    const damaged = await damage(inside, { ...CHECKPOINTS, ...wanted, prefix, at: random() });
    expect(damaged.length, `HOLDFAST_SEED=${SEED}: damaged ${name}`).toBeGreaterThan(0);
  }
  await inside.close();
  const again = await openPage(browser, site.origin);
  await installCourse(again, TOKENS);
  const ends: Record<string, unknown> = {};
  for (const [index, { name, damage: wanted }] of KINDS.entries()) {
    const next = await course.resume(again, name, sessionIds[index] as string);
    const seen = { next, rest: await course.run(again, name, Number(next), STEPS) };
    // What has lost its state says so, and serves whoever begins anew.
    const anew = seen.rest === null ? null : await course.run(again, name, 0, 4, true);
    ends[name] = { ...seen, anew, noticed: wanted !== null && Number(next) <= NEWER };
    await course.release(again, name);
  }
  const older = { next: expect.any(Number), rest: null, anew: null, noticed: true };
  expect(ends, `HOLDFAST_SEED=${SEED}`).toEqual({
    nothing: { next: NEWER + 1, rest: null, anew: null, noticed: false },
    "the header": older,
    "the payload": older,
    "the digest": older,
    "the run that it is stored under": older,
    "the size in the index": older,
    "all payloads of a stage": { next: NEWER + 1, rest: "STATE_LOST", anew: null, noticed: false },
  });
});

test("a host that dies while the page lives comes back from before the damaged checkpoint, with the same bits", async ({
  browser,
  page,
}) => {
  test.setTimeout(180_000);
  const random = randomFor("damaged checkpoints of a live session");
  await installCourse(page, TOKENS);
  const id = await course.open(page, "live", 2);
  expect(await course.run(page, "live", 0, OLDER + 1)).toBeNull();
  await course.durable(page, "live");
  let at = OLDER + 1;
  const inside = await insidePage(browser);
  for (const field of ["header", "payload"]) {
    const until = at + 8;
    expect(await course.run(page, "live", at, until)).toBeNull();
    await course.durable(page, "live");
    for (const stage of [0, 1])
      expect(await damage(inside, { ...CHECKPOINTS, prefix: [id, stage], field, at: random() })).toHaveLength(1);
    const host = (await statusOf(browser)).hosts.find(({ sessionId, stage }) => sessionId === id && stage === 1);
    await browser.processes.killFrame(host?.hostId ?? "");
    at = until + 2;
    expect(await course.run(page, "live", until, at), `HOLDFAST_SEED=${SEED}: ${field}`).toBeNull();
  }
  await inside.close();
  expect(await course.recoveries(page, "live")).toBeGreaterThanOrEqual(2);
  await course.release(page, "live");
});

const JOURNAL_KINDS: readonly Pick<Damage, "store" | "field">[] = [
  { store: "journal", field: "body" },
  { store: "journal", field: "digest" },
  { store: "journal", field: "sequence" },
  { store: "head", field: "sequence" },
  { store: "head", field: "digest" },
  { store: "snapshot", field: "body" },
  { store: "snapshot", field: "digest" },
];

/** A start of the service worker that finds the damage; it may have been awake once more and written over it. */
async function damageJournal(browser: Browser, wanted: Pick<Damage, "store" | "field">, at: number): Promise<number> {
  const before = (await statusOf(browser)).repairs.length;
  const inside = await insidePage(browser);
  try {
    for (let attempt = 0; attempt < 3; attempt++) {
      await browser.stopServiceWorker();
      const damaged = await damage(inside, { database: "holdfast-journal", ...wanted, at });
      if (damaged.length !== 1) throw new Error(`there is no ${wanted.store} to damage`);
      await browser.stopServiceWorker();
      const found = (await statusOf(browser)).repairs.length - before;
      if (found > 0) return found;
    }
    return 0;
  } finally {
    await inside.close();
  }
}

test("a journal of which a bit is wrong is repaired at the next start, and told; no run gives another result", async ({
  launch,
  site,
}) => {
  test.setTimeout(300_000);
  const random = randomFor("damaged journal");
  const { browser, page } = await launchConsented(launch, site.origin);
  await installCourse(page, TOKENS);
  let opened = 0;
  let name = "";
  const open = async () => {
    name = `session ${opened++}`;
    await course.open(page, name, 1);
  };
  await open();
  const ends: unknown[] = [];
  for (const kind of JOURNAL_KINDS) {
    if (kind.store === "snapshot") await untilSnapshot(browser, () => course.generations(page, name, 20));
    const repairs = await damageJournal(browser, kind, random());
    const end = await course.run(page, name, 0, 4, true);
    console.log(`${kind.store}.${kind.field}: ${repairs} repairs, then ${end ?? "the right outputs"}`);
    ends.push({ ...kind, noticed: repairs > 0, sound: end === null || /^[A-Z_]+$/.test(end) });
    if (end === null) continue;
    // What was lost with the damaged record may have been the session itself: then it says so, and another one opens.
    await open();
    expect(await course.run(page, name, 0, 4), `after damage to ${kind.store}.${kind.field}`).toBeNull();
  }
  expect(ends, `HOLDFAST_SEED=${SEED}`).toEqual(JOURNAL_KINDS.map((kind) => ({ ...kind, noticed: true, sound: true })));
});

/** A snapshot is written every so many transactions. */
async function untilSnapshot(browser: Browser, work: () => Promise<void>): Promise<void> {
  const inside = await insidePage(browser);
  const count = () =>
    inside.evaluate(
      () =>
        new Promise<number>((resolve, reject) => {
          const opening = indexedDB.open("holdfast-journal");
          opening.onerror = () => reject(opening.error);
          opening.onsuccess = () => {
            const counting = opening.result.transaction("snapshot").objectStore("snapshot").count();
            counting.onsuccess = () => resolve(counting.result);
            counting.onerror = () => reject(counting.error);
            opening.result.close();
          };
        }),
    );
  for (let rounds = 0; (await count()) === 0; rounds++) {
    if (rounds === 20) throw new Error("no snapshot was written");
    await work();
  }
  await inside.close();
}
