import { expect, it } from "vitest";
import {
  PARKED_BYTES_PER_ORIGIN_MAX as BYTES,
  PARKED_PER_ORIGIN_MAX as COUNT,
  HOSTS_MAX,
  HOSTS_PER_ORIGIN_MAX,
} from "../../../src/base/limits.ts";
import type { HostReports } from "../../../src/history/host-reports.ts";
import { checkMemory, checkRoom, overQuota } from "../../../src/pool/room.ts";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";
import { EMPTY_POOL, type SessionRecord } from "../../../src/state/pool-state.ts";

/** Live sessions of sites by how many hosts each has. */
const live = (hosts: readonly (readonly [string, number])[]) => {
  const sessions = hosts.map(([origin, shards], at) => [
    `s${at}`,
    { origin, status: "live", options: parseSessionOptions({ shards }) } as SessionRecord,
  ]);
  return { ...EMPTY_POOL, sessions: Object.fromEntries(sessions) };
};

it.each<[string, (readonly [string, number])[], number, string | null]>([
  ["all that one site may have", [["a", HOSTS_PER_ORIGIN_MAX - 1]], 1, null],
  ["one more than that, though more are free", [["a", HOSTS_PER_ORIGIN_MAX]], 1, "TOO_MANY_HOSTS"],
  ["what a greedy site left", [["b", HOSTS_PER_ORIGIN_MAX]], HOSTS_MAX - HOSTS_PER_ORIGIN_MAX, null],
  ["more than two sites left", [["b", HOSTS_PER_ORIGIN_MAX]], HOSTS_MAX - HOSTS_PER_ORIGIN_MAX + 1, "TOO_MANY_HOSTS"],
])("a site that asks for %s", (_, hosts, shards, code) => {
  const ask = (): void =>
    checkRoom(live(hosts), { sessionId: null, origin: "a", options: parseSessionOptions({ shards }) });
  if (code === null) expect(ask).not.toThrow();
  else expect(ask).toThrowError(expect.objectContaining({ code }));
});

/** Sessions named by their age: the first is the oldest. */
const sessions = (...bytes: number[]) => bytes.map((size, at) => ({ sessionId: `${at}`, changedAt: at, bytes: size }));

it.each<[string, ReturnType<typeof sessions>, string[]]>([
  ["nothing", [], []],
  ["what fits to the last byte", sessions(BYTES / 2, BYTES / 2), []],
  ["one byte too many", sessions(BYTES / 2, BYTES / 2, 1), ["0"]],
  ["a small one that is old before a large one that is new", sessions(1, BYTES), ["0"]],
  ["one that is too large by itself", sessions(BYTES + 1), ["0"]],
  ["as many as may be", sessions(...new Array<number>(COUNT).fill(0)), []],
  ["two too many", sessions(...new Array<number>(COUNT + 2).fill(0)), ["0", "1"]],
  ["a list in another order", sessions(BYTES, BYTES).reverse(), ["0"]],
])("of %s the oldest go until the rest fits", (_, kept, gone) => {
  expect(overQuota(kept)).toEqual(gone);
});

it("level critical is refused where the device cannot hold the weights so many times, and says what it needs", () => {
  const plan = {
    shards: [{ weightBytes: 2 * 1024 ** 3 }, { weightBytes: 1024 ** 3 }],
  } as unknown as SessionRecord["plan"];
  const reports = (memoryGiB: number | null) => {
    return { own: () => ({ capability: { memoryGiB } }) as unknown as ReturnType<HostReports["own"]> };
  };
  const check = (level: string, memoryGiB: number | null) => () =>
    checkMemory({ plan, options: parseSessionOptions({ faultToleranceLevel: level }) }, reports(memoryGiB));
  expect(check("critical", 8)).toThrow(expect.objectContaining({ code: "OUT_OF_MEMORY", category: "MEMORY" }));
  expect(check("critical", 8)).toThrow(/3 times, 9.0 GiB in all; the device has 8. Use level high/);
  for (const fits of [check("critical", 16), check("critical", null), check("high", 2)]) expect(fits).not.toThrow();
});
