import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  chooseDeletion,
  chooseEvictions,
  chooseTrim,
  type Eviction,
  type Holding,
  inUse,
  type Wish,
} from "../../../src/store/evict.ts";
import type { StoreContents } from "../../../src/store/records.ts";

const NOTHING: Eviction = { digests: [], planIds: [], partials: [] };
const free: Holding = { planIds: new Set(), leased: new Set() };
const wish = (bytes: number, limitBytes: number, push: Wish["push"] = null): Wish => ({
  key: "new",
  bytes,
  limitBytes,
  push,
});

const blob = (digest: string, size: number, lastUsedAt: number, pushedBy: string[] = []) => ({
  digest,
  size,
  name: digest,
  pushedBy,
  lastUsedAt,
});
const plan = (planId: string, digests: string[], lastUsedAt: number, bytes = 1) => ({
  planId,
  name: planId,
  digests,
  bytes,
  lastUsedAt,
});
const partial = (key: string, bytes: number, updatedAt: number, origin: string | null = null) => ({
  key,
  file: key,
  total: null,
  etag: null,
  lastModified: null,
  bytes,
  hasher: null,
  reservedBytes: bytes,
  origin,
  updatedAt,
});

/** 100 + 200 + 300 bytes in blobs, 3 in plans, 50 in a download that broke off. */
const store: StoreContents = {
  blobs: [blob("a", 100, 30), blob("b", 200, 10), blob("c", 300, 20)],
  plans: [plan("pa", ["a"], 30), plan("pb", ["b"], 10), plan("pc", ["c", "b"], 20)],
  partials: [partial("https://u", 50, 5)],
};

describe("room for a file", () => {
  it("evicts nothing while it fits", () => {
    expect(chooseEvictions(store, free, wish(347, 1_000))).toEqual(NOTHING);
  });

  it("takes the longest unused first, and the plans of a blob with it", () => {
    expect(chooseEvictions(store, free, wish(348, 1_000))).toEqual({ ...NOTHING, partials: ["https://u"] });
    expect(chooseEvictions(store, free, wish(400, 1_000))).toEqual({
      digests: ["b"],
      planIds: ["pb", "pc"],
      partials: ["https://u"],
    });
    expect(chooseEvictions(store, free, wish(700, 1_000))?.digests).toEqual(["b", "c"]);
  });

  it("never takes what a session or a keeper holds, nor a file of a plan that is held", () => {
    const holding = { planIds: new Set(["pb"]), leased: new Set(["https://u"]) };
    expect(chooseEvictions(store, holding, wish(400, 1_000))).toEqual({
      digests: ["c"],
      planIds: ["pc"],
      partials: [],
    });
  });

  it("evicts nothing at all when it could not make enough room", () => {
    expect(chooseEvictions(store, { planIds: new Set(["pb"]), leased: new Set() }, wish(801, 1_000))).toBeNull();
    expect(chooseEvictions(store, free, wish(1_001, 1_000))).toBeNull();
  });

  it("counts what the file has already only once", () => {
    const grown = { ...store, partials: [partial("new", 300, 40)] };
    expect(chooseEvictions(grown, free, wish(397, 1_000))).toEqual(NOTHING);
  });

  it("counts what others were promised, and never takes what a page is sending", () => {
    const sending = { ...store, partials: [partial("push:1", 300, 1, "https://x")] };
    expect(chooseEvictions(sending, free, wish(98, 1_000))).toEqual({
      digests: ["b"],
      planIds: ["pb", "pc"],
      partials: [],
    });
  });
});

describe("bytes that a site sends itself", () => {
  const mine = "https://mine";
  const sent: StoreContents = {
    blobs: [blob("a", 100, 30, [mine]), blob("b", 100, 10, [mine]), blob("c", 100, 1, ["https://other"])],
    plans: [plan("pb", ["b"], 10)],
    partials: [],
  };

  it("push out the site's own, the oldest first, and no other site's", () => {
    expect(chooseEvictions(sent, free, wish(100, 10_000, { origin: mine, bytesMax: 250 }))).toEqual({
      ...NOTHING,
      digests: ["b"],
      planIds: ["pb"],
    });
  });

  it("are refused over the site's share, although the store has room", () => {
    expect(chooseEvictions(sent, free, wish(251, 10_000, { origin: mine, bytesMax: 250 }))).toBeNull();
    const holding = { planIds: new Set<string>(), leased: new Set(["a", "b"]) };
    expect(chooseEvictions(sent, holding, wish(51, 10_000, { origin: mine, bytesMax: 250 }))).toBeNull();
  });

  it("count while they come", () => {
    const coming = { ...sent, partials: [partial("push:1", 100, 40, mine)] };
    expect(chooseEvictions(coming, free, wish(50, 10_000, { origin: mine, bytesMax: 250 }))?.digests).toEqual(["b"]);
  });
});

describe("a lower quota", () => {
  it("takes as much as may go, although that is not enough", () => {
    const holding = { planIds: new Set(["pc"]), leased: new Set<string>() };
    expect(chooseTrim(store, holding, 100)).toEqual({ digests: ["a"], planIds: ["pa", "pb"], partials: ["https://u"] });
  });
});

describe("a deletion by the user", () => {
  it("takes the named blobs with their plans, but not what is in use", () => {
    expect(chooseDeletion(store, free, ["b"])).toEqual({ ...NOTHING, digests: ["b"], planIds: ["pb", "pc"] });
    expect(chooseDeletion(store, { planIds: new Set(["pc"]), leased: new Set() }, ["b", "a"])).toEqual({
      ...NOTHING,
      digests: ["a"],
      planIds: ["pa"],
    });
  });
});

describe("any store", () => {
  const ids = fc.constantFrom("a", "b", "c", "d", "e");
  const contents = fc.record({
    blobs: fc
      .uniqueArray(fc.tuple(ids, fc.nat(100), fc.nat(10), fc.boolean()), { selector: ([id]) => id })
      .map((all) => all.map(([id, size, at, own]) => blob(id, size, at, own ? ["https://x"] : []))),
    plans: fc
      .uniqueArray(fc.tuple(fc.constantFrom("1", "2", "3"), fc.subarray(["a", "b", "c", "d", "e"]), fc.nat(10)), {
        selector: ([id]) => id,
      })
      .map((all) => all.map(([id, digests, at]) => plan(id, digests, at, 2))),
    partials: fc
      .uniqueArray(fc.tuple(fc.constantFrom("u1", "u2"), fc.nat(100), fc.nat(10)), { selector: ([id]) => id })
      .map((all) => all.map(([key, bytes, at]) => partial(key, bytes, at))),
  });

  it("keeps what is used, stays within the limit, and evicts nothing that was not needed", () => {
    fc.assert(
      fc.property(
        contents,
        fc.subarray(["1", "2", "3"]),
        fc.subarray(["a", "b", "u1"]),
        fc.nat(200),
        fc.nat(500),
        (all, planIds, leased, bytes, limitBytes) => {
          const holding = { planIds: new Set(planIds), leased: new Set(leased) };
          const used = inUse(all, holding);
          const found = chooseEvictions(all, holding, { key: "new", bytes, limitBytes, push: null });
          const left = (gone: ReadonlySet<string>): number =>
            bytes +
            [
              ...all.blobs.map(({ digest, size }) => ({ id: digest, size })),
              ...all.plans.map(({ planId, bytes: size }) => ({ id: planId, size })),
              ...all.partials.map(({ key, bytes: size }) => ({ id: key, size })),
            ].reduce((sum, { id, size }) => (gone.has(id) ? sum : sum + size), 0);
          const idle = [
            ...all.blobs.map(({ digest }) => digest),
            ...all.plans.map(({ planId }) => planId),
            ...all.partials.map(({ key }) => key),
          ].filter((id) => !used.has(id));
          if (found === null) {
            expect(left(new Set(idle))).toBeGreaterThan(limitBytes);
            return;
          }
          const gone = new Set([...found.digests, ...found.planIds, ...found.partials]);
          expect([...gone].filter((id) => used.has(id))).toEqual([]);
          expect(left(gone)).toBeLessThanOrEqual(limitBytes);
          if (left(new Set()) <= limitBytes) expect(gone.size).toBe(0);
          // A plan never stays without its files.
          for (const { planId, digests } of all.plans)
            if (digests.some((digest) => gone.has(digest))) expect(gone.has(planId)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});
