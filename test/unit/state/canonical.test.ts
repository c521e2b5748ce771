import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadSha256 } from "../../../src/base/digest.ts";
import { canonicalJson, digestOf, jsonCopy } from "../../../src/state/canonical.ts";

const sha256 = await loadSha256();

describe("canonical JSON", () => {
  it("is the same however keys were ordered, and drops what is undefined", () => {
    expect(canonicalJson({ b: [1, { d: null, c: "ä" }], a: true, e: undefined })).toBe(
      '{"a":true,"b":[1,{"c":"ä","d":null}]}',
    );
  });

  it("means what it was made of", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        // JSON has one zero.
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(jsonCopy(value))).toBe(canonicalJson(value));
      }),
    );
  });
});

describe("a digest", () => {
  it("is the SHA-256 of the canonical text", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(digestOf(value, sha256)).toBe(createHash("sha256").update(canonicalJson(value)).digest("hex"));
      }),
    );
  });
});
