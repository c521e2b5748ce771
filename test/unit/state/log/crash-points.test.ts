import { describe, expect, it } from "vitest";
import { BROWSER_SUBJECT } from "../../../../src/state/browser-log.ts";
import type { BrowserTransaction } from "../../../../src/state/browser-record.ts";
import { TransactionLog } from "../../../../src/state/transaction-log.ts";
import { RECORDED } from "./histories.ts";
import { type Fault, FaultyStorage, OpenStorage, openBrowsers, steadyNeeds } from "./world.ts";

// Groups of different sizes, as a busy pool appends them.
const GROUPS = [1, 3, 1, 2, 5];

function groups(): BrowserTransaction[][] {
  const left = [...RECORDED];
  return GROUPS.map((size) => left.splice(0, size));
}

/** Records the session over this storage; tells every state there was, and how many transactions it called written. */
async function record(storage: OpenStorage) {
  const log = new TransactionLog(BROWSER_SUBJECT, { ...steadyNeeds(), storage });
  const states = [log.digest()];
  let written = 0;
  for (const [at, group] of groups().entries()) {
    // Compaction is a write like any other, and a snapshot is torn like anything else.
    if (at > 1) Object.assign(log, { isSnapshotDue: true });
    const appended = group.map((transaction) => {
      const result = log.append(transaction);
      states.push(log.digest());
      return result;
    });
    for (const { status } of await Promise.allSettled(appended)) written += status === "fulfilled" ? 1 : 0;
  }
  return { states, written };
}

async function crashPoints() {
  const measured = new FaultyStorage();
  await record(measured);
  return measured.sizes.flatMap((steps, at) => [
    { at, fault: "throws" as Fault, kept: 0 },
    { at, fault: "drops" as Fault, kept: 0 },
    ...Array.from({ length: steps + 1 }, (_, kept) => ({ at, fault: "tears" as Fault, kept })),
    ...Array.from({ length: steps }, (_, kept) => ({ at, fault: "tears a value" as Fault, kept })),
  ]);
}

describe("a storage that fails at any write of a recorded session", () => {
  it("leaves a legal state, and the log goes on", async () => {
    const points = await crashPoints();
    console.info(`${points.length} crash points`);
    expect(points.length).toBeGreaterThan(60);
    for (const { at, fault, kept } of points) {
      const storage = new FaultyStorage(at, fault, kept);
      const { states, written } = await record(storage);
      const alive = OpenStorage.of(await storage.contents());
      const log = await openBrowsers(alive);
      const where = `${fault} at write ${at} after ${kept} steps`;
      expect(states, where).toContain(log.digest());
      // Only a storage that lies about a write loses what was called written.
      if (fault === "throws") {
        expect(written, where).toBeLessThan(RECORDED.length);
        expect(log.digest(), where).toBe(states.at(-1));
      }
      for (const transaction of RECORDED) await log.append(transaction);
      const again = await openBrowsers(alive);
      expect([again.digest(), again.damage], where).toEqual([log.digest(), []]);
    }
  });

  it("keeps every group before the one that was torn", async () => {
    const before = GROUPS.map((_, at) => GROUPS.slice(0, at).reduce((sum, size) => sum + size, 0));
    for (const { at, fault, kept } of await crashPoints()) {
      if (fault === "throws") continue;
      const storage = new FaultyStorage(at, fault, kept);
      const { states } = await record(storage);
      const log = await openBrowsers(OpenStorage.of(await storage.contents()));
      const where = `${fault} at write ${at} after ${kept} steps`;
      expect(states.lastIndexOf(log.digest()), where).toBeGreaterThanOrEqual(before[at] ?? 0);
    }
  });
});
