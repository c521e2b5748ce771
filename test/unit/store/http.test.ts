import { describe, expect, it } from "vitest";
import {
  conditionOf,
  isSameBytes,
  isSameVersion,
  isTransient,
  readHead,
  strongValidator,
} from "../../../src/store/http.ts";

const answer = (status: number, headers: Record<string, string>, redirected = false) => ({
  status,
  redirected,
  headers: new Headers(headers),
});
const version = (etag: string | null, lastModified: string | null = null) => ({ etag, lastModified });

describe("the head of an answer", () => {
  it("says where the body begins and how large the file is", () => {
    const part = answer(206, { "content-range": "bytes 10-99/100", "content-length": "90", etag: '"x"' });
    expect(readHead(part, 10)).toMatchObject({ start: 10, total: 100, etag: '"x"', lastModified: null, freshMs: 0 });
    expect(readHead(answer(200, { "content-length": "100" }), 10)).toMatchObject({ start: 0, total: 100 });
  });

  it("believes the request where a server hides Content-Range", () => {
    expect(readHead(answer(206, { "content-length": "90" }), 10)).toMatchObject({ start: 10, total: 100 });
  });

  it("knows no size of a file that comes coded or of unknown length", () => {
    expect(readHead(answer(200, { "content-length": "50", "content-encoding": "gzip" }), 0).total).toBeNull();
    expect(readHead(answer(206, { "content-range": "bytes 0-9/*" }), 0).total).toBeNull();
  });

  it.each([
    ["max-age=60", false, 60_000],
    ["public, max-age=60, immutable", false, 60_000],
    ["max-age=99999999999", false, 86_400_000],
    ["no-store, max-age=60", false, 0],
    ["no-cache", false, 0],
    ["max-age=60", true, 0],
  ])("takes Cache-Control %s, redirected %s, for %i ms", (value, redirected, ms) => {
    expect(readHead(answer(200, { "cache-control": value }, redirected), 0).freshMs).toBe(ms);
  });
});

describe("validators", () => {
  it.each([
    [version('"a"', "Mon"), '"a"'],
    [version(null, "Mon"), "Mon"],
    // A weak one says that the meaning is the same, not the bytes; that the date is, then says nothing more.
    [version('W/"a"', "Mon"), null],
    [version(null), null],
  ])("%o lets a download go on with %s", (known, expected) => {
    expect(strongValidator(known)).toBe(expected);
  });

  it("ask with what the server gave", () => {
    expect(conditionOf(version('W/"a"', "Mon"))).toEqual({ "if-none-match": 'W/"a"' });
    expect(conditionOf(version(null, "Mon"))).toEqual({ "if-modified-since": "Mon" });
    expect(conditionOf(version(null))).toBeNull();
  });

  it.each([
    [version('"a"'), version('W/"a"'), true, false],
    [version('"a"'), version('"a"'), true, true],
    [version('"a"', "Mon"), version('"b"', "Mon"), false, false],
    [version('"a"', "Mon"), version(null, "Mon"), true, false],
    [version(null, "Mon"), version(null, "Mon"), true, true],
    [version(null), version(null), false, false],
  ])("%o and %o: same version %s, same bytes %s", (known, now, sameVersion, sameBytes) => {
    expect([isSameVersion(known, now), isSameBytes(known, now)]).toEqual([sameVersion, sameBytes]);
  });
});

it("only some answers may be others in a moment", () => {
  expect([429, 502, 503, 504, 500, 404, 200].map(isTransient)).toEqual([true, true, true, true, false, false, false]);
});
