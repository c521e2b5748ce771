import { describe, expect, it } from "vitest";
import { digestOfIntegrity } from "../../../src/base/integrity.ts";
import { mayReadFor, urlKey } from "../../../src/store/public-url.ts";
import { RateMeter } from "../../../src/store/rate.ts";

describe("what the extension reads for a site", () => {
  it.each([
    ["https://huggingface.co/org/name/resolve/main/x.onnx", true],
    ["https://cdn.example.org:8443/x.onnx", true],
    // Names and addresses of the user's own network, or of this machine.
    ["https://192.168.1.1/x.onnx", false],
    ["https://[fd00::1]/x.onnx", false],
    ["https://2130706433/x.onnx", false],
    ["https://router/x.onnx", false],
    ["https://nas.local/x.onnx", false],
    ["https://printer.home.arpa/x.onnx", false],
    ["https://localhost/x.onnx", false],
    ["http://127.0.0.1:8000/x.onnx", false],
    // Anybody on the way could change it.
    ["http://example.org/x.onnx", false],
    ["https://user:secret@example.org/x.onnx", false],
    ["blob:https://example.org/1", false],
    ["data:,x", false],
    ["file:///etc/passwd", false],
    ["chrome-extension://abc/x", false],
    ["no url", false],
  ])("%s: %s", (url, allowed) => {
    expect(mayReadFor("https://site.example", url)).toBe(allowed);
  });

  it("a page of this machine may have this machine's files", () => {
    expect(mayReadFor("http://localhost:1234", "http://127.0.0.1:8000/x.onnx")).toBe(true);
    expect(mayReadFor("http://127.0.0.1:1234", "http://[::1]/x.onnx")).toBe(true);
    expect(mayReadFor("http://localhost.example.org", "http://127.0.0.1:8000/x.onnx")).toBe(false);
    expect(mayReadFor("null", "http://127.0.0.1:8000/x.onnx")).toBe(false);
  });

  it("knows a URL without its fragment", () => {
    expect(urlKey("https://EXAMPLE.org/a?b#c")).toBe("https://example.org/a?b");
  });
});

describe("integrity", () => {
  const hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
  it.each([
    hex,
    hex.toUpperCase(),
    `sha256-${hex}`,
    "sha256-n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
    "sha256-n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
  ])("takes %s", (text) => {
    expect(digestOfIntegrity(text)).toBe(hex);
  });

  it.each(["", "sha384-n4bQgYhM", hex.slice(1), "sha256-n4bQ"])("refuses %s", (text) => {
    expect(() => digestOfIntegrity(text)).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });
});

describe("the rate of a download", () => {
  it("is of the last seconds only, and unknown at first", () => {
    const meter = new RateMeter(3_000);
    expect(meter.add(0, 0)).toBeNull();
    expect(meter.add(1_000, 1_000)).toBe(1_000);
    for (let second = 2; second <= 10; second++) meter.add(1_000 + (second - 1) * 5_000, second * 1_000);
    expect(meter.add(51_000, 11_000)).toBe(5_000);
  });

  it("is not negative when a download begins anew", () => {
    const meter = new RateMeter(3_000);
    meter.add(9_000, 0);
    expect(meter.add(10, 100)).toBeNull();
  });
});
