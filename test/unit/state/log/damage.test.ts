import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { BrowserTransaction } from "../../../../src/state/browser-record.ts";
import type { LogRecord } from "../../../../src/state/log-record.ts";
import { RECORDED } from "./histories.ts";
import { type Contents, OpenStorage, openBrowsers, withSnapshot } from "./world.ts";

// Snapshots after 4 and 8 transactions; the records since the older one are kept.
const CUTS = [4, 8];
const EXTRA = CUTS.length;

/** With all its transactions, and as it is when the oldest of them have been dropped. */
let whole: Contents;
let intact: Contents;
/** Digests of the states after 0, 1, 2, … transactions. */
const legal: string[] = [];

beforeAll(async () => {
  let storage = new OpenStorage();
  let log = await openBrowsers(storage);
  legal.push(log.digest());
  for (const [at, transaction] of RECORDED.entries()) {
    if (CUTS.includes(at)) {
      ({ storage, log } = await withSnapshot(storage));
      legal.push(log.digest());
    }
    await log.append(transaction);
    legal.push(log.digest());
  }
  whole = await storage.contents();
  const oldest = whole.snapshots[0]?.sequence ?? 0;
  intact = { ...whole, records: whole.records.filter(({ sequence }) => sequence > oldest) };
});

/** Opens what was changed; the state must be one that the log had, and the damage told and repaired. */
async function opened(contents: Contents) {
  const storage = OpenStorage.of(contents);
  const log = await openBrowsers(storage);
  const isQuiet = await log.audit();
  const told = (await log.history()).filter(({ action }) => action === "repair_log").length;
  const again = await openBrowsers(storage);
  return { log, again, isDetected: log.damage.length > 0 || !isQuiet, told };
}

async function expectRepaired(contents: Contents): Promise<void> {
  const { log, again, isDetected, told } = await opened(contents);
  expect(isDetected).toBe(true);
  expect(legal).toContain(log.digest());
  expect(told).toBeGreaterThan(0);
  expect([again.digest(), again.damage]).toEqual([log.digest(), []]);
  expect(await again.audit()).toBe(true);
}

const flip = (text: string, at: number, bit: number): string =>
  text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << bit)) + text.slice(at + 1);

describe("the recorded log", () => {
  it("has two snapshots, records before and after the newer one, and no damage", async () => {
    expect(intact.snapshots).toHaveLength(2);
    expect(intact.records.map(({ sequence }) => sequence)).toEqual(
      Array.from(
        { length: RECORDED.length + EXTRA - (intact.snapshots[0]?.sequence ?? 0) },
        (_, at) => at + 1 + (intact.snapshots[0]?.sequence ?? 0),
      ),
    );
    const { log, isDetected } = await opened(intact);
    expect([log.digest(), isDetected]).toEqual([legal.at(-1), false]);
  });
});

describe("a flip of any one character", () => {
  /** Every string of the stored log, by where it lies. */
  const fields = [
    ...["body", "digest"].map((field) => ["records", field] as const),
    ...["body", "digest", "chain"].map((field) => ["snapshots", field] as const),
  ];
  it.each(fields)("in the %s' %s is detected and repaired", async (kind, field) => {
    for (const [index, piece] of intact[kind].entries()) {
      const text = (piece as unknown as Record<string, string>)[field] ?? "";
      for (let at = 0; at < text.length; at += field === "body" ? 3 : 11) {
        const pieces: object[] = [...intact[kind]];
        pieces[index] = { ...piece, [field]: flip(text, at, at % 7) };
        await expectRepaired({ ...intact, [kind]: pieces });
      }
    }
  });

  it.each(["chain", "digest"] as const)("in the head's %s is detected and repaired", async (field) => {
    const head = intact.head as NonNullable<Contents["head"]>;
    for (let at = 0; at < head[field].length; at++)
      await expectRepaired({ ...intact, head: { ...head, [field]: flip(head[field], at, at % 7) } });
  });

  it("and of any number", async () => {
    const numbers: [keyof Contents, string][] = [
      ["records", "schema"],
      ["snapshots", "schema"],
    ];
    for (const [kind, field] of numbers) {
      for (const [index, piece] of (intact[kind] as object[]).entries()) {
        const pieces = [...(intact[kind] as object[])];
        pieces[index] = { ...piece, [field]: 9 };
        await expectRepaired({ ...intact, [kind]: pieces });
      }
    }
    const head = intact.head as NonNullable<Contents["head"]>;
    await expectRepaired({ ...intact, head: { ...head, schema: 9 } });
    await expectRepaired({ ...intact, head: { ...head, sequence: head.sequence - 1 } });
  });
});

describe("what is lost", () => {
  it("is missed: any one record", async () => {
    for (const lost of intact.records)
      await expectRepaired({ ...intact, records: intact.records.filter((record) => record !== lost) });
  });

  it("is missed: the last records, however many", async () => {
    for (let kept = 0; kept < intact.records.length; kept++)
      await expectRepaired({ ...intact, records: intact.records.slice(0, kept) });
  });

  it("is missed: any snapshot, or both", async () => {
    const [older, newer] = intact.snapshots;
    for (const snapshots of [[older], []]) {
      const { log, isDetected } = await opened({ ...intact, snapshots: snapshots as Contents["snapshots"] });
      // Without the newer one the older one and the records give the same; without both nothing can be said.
      expect([log.digest(), isDetected]).toEqual(
        snapshots.length > 0 ? [legal.at(-1), false] : [expect.any(String), true],
      );
    }
    const { log } = await opened({ ...intact, snapshots: [newer] as Contents["snapshots"] });
    expect(log.digest()).toBe(legal.at(-1));
  });

  it("is missed: the head", async () => {
    await expectRepaired({ ...intact, head: null });
  });

  it("is missed: the end of any record's text", async () => {
    for (const [index, record] of intact.records.entries()) {
      for (let kept = 0; kept < record.body.length; kept += 5) {
        const records = [...intact.records];
        records[index] = { ...record, body: record.body.slice(0, kept) };
        await expectRepaired({ ...intact, records });
      }
    }
  });
});

describe("what is mixed up", () => {
  it("is detected: two records in each other's place", async () => {
    for (let at = 0; at + 1 < intact.records.length; at++) {
      const [left, right] = [intact.records[at], intact.records[at + 1]];
      if (left === undefined || right === undefined) continue;
      const records = [...intact.records];
      records[at] = { ...right, sequence: left.sequence };
      records[at + 1] = { ...left, sequence: right.sequence };
      await expectRepaired({ ...intact, records });
    }
  });

  it("is detected: a head of another log with as many transactions", async () => {
    const other = new OpenStorage();
    const log = await openBrowsers(other);
    for (let at = 0; at < RECORDED.length + EXTRA; at++) await log.append(RECORDED[0] as BrowserTransaction);
    await expectRepaired({ ...intact, head: (await other.contents()).head });
  });
});

describe("a damaged newest snapshot", () => {
  it("costs nothing: the one before it and the records since give the same state", async () => {
    const [older, newer] = intact.snapshots;
    const snapshots = [older, { ...newer, body: "{}" }] as Contents["snapshots"];
    const { log, again } = await opened({ ...intact, snapshots });
    expect(log.damage).toEqual([{ kind: "snapshot", sequence: newer?.sequence, lost: 0 }]);
    expect([log.digest(), again.digest()]).toEqual([legal.at(-1), legal.at(-1)]);
  });

  it("together with a damaged record loses what follows that record, and says how much", async () => {
    const [older, newer] = intact.snapshots;
    const snapshots = [older, { ...newer, body: "{}" }] as Contents["snapshots"];
    const records = intact.records.map((record, at) => (at === 1 ? { ...record, body: "{}" } : record));
    const { log } = await opened({ ...intact, snapshots, records });
    const sequence = intact.records[1]?.sequence ?? 0;
    expect(log.damage).toContainEqual({ kind: "digest", sequence, lost: (intact.head?.sequence ?? 0) - sequence + 1 });
  });
});

describe("the part of the log that no start reads", () => {
  it("is checked as well: any one record of it that is lost or damaged", async () => {
    const old = whole.records.filter(({ sequence }) => sequence <= (whole.snapshots[0]?.sequence ?? 0));
    expect(old.length).toBeGreaterThan(2);
    for (const record of old) {
      await expectRepaired({ ...whole, records: whole.records.filter((other) => other !== record) });
      for (let at = 0; at < record.body.length; at += 7) {
        const flipped = { ...record, body: flip(record.body, at, at % 7) };
        await expectRepaired({ ...whole, records: whole.records.map((other) => (other === record ? flipped : other)) });
      }
    }
  });

  it("costs a start nothing when it is damaged, and is not exported", async () => {
    const [first, ...records] = whole.records;
    const storage = OpenStorage.of({ ...whole, records: [{ ...first, body: "{}" } as LogRecord, ...records] });
    const log = await openBrowsers(storage);
    expect([log.damage, log.digest()]).toEqual([[], legal.at(-1)]);
    expect((await log.history()).map(({ action }) => action)).toContain("repair_log");
    expect((await log.history())[0]?.sequence).toBe((whole.snapshots[0]?.sequence ?? 0) + 1);
  });

  it("stands in when both snapshots are lost", async () => {
    const { log, isDetected } = await opened({ ...whole, snapshots: [] });
    expect([log.digest(), isDetected]).toEqual([legal.at(-1), false]);
  });
});

describe("any damage at all", () => {
  it("leaves a state that the log had, after which it goes on", async () => {
    const pieces = fc.record({
      kind: fc.constantFrom("records", "snapshots"),
      index: fc.nat(),
      lost: fc.boolean(),
      at: fc.nat(),
      bit: fc.nat(6),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(pieces, { minLength: 1, maxLength: 4 }), async (damages) => {
        const contents: Contents = structuredClone(intact);
        for (const { kind, index, lost, at, bit } of damages) {
          const list = contents[kind as "records"];
          const where = index % Math.max(1, list.length);
          const piece = list[where];
          if (piece === undefined) continue;
          if (lost) list.splice(where, 1);
          else list[where] = { ...piece, body: flip(piece.body, at % piece.body.length, bit) };
        }
        const storage = OpenStorage.of(contents);
        const log = await openBrowsers(storage);
        expect(legal).toContain(log.digest());
        for (const transaction of RECORDED) await log.append(transaction);
        const again = await openBrowsers(storage);
        expect([again.digest(), again.damage]).toEqual([log.digest(), []]);
      }),
      { numRuns: 200 },
    );
  });
});
