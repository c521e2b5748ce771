import { describe, expect, it } from "vitest";
import { browserIdentity, type NavigatorNames } from "../../../src/history/browser-identity.ts";

const AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
const brands = (...pairs: readonly [string, string][]): NavigatorNames => ({
  userAgent: `${AGENT} Chrome/150.0.0.0 Safari/537.36`,
  brands: pairs.map(([brand, version]) => ({ brand, version })),
});

describe("the browser", () => {
  it.each<[string, NavigatorNames, string, string]>([
    ["Chrome", brands(["Google Chrome", "150"], ["Not;A=Brand", "8"], ["Chromium", "150"]), "chrome", "150"],
    ["Chromium", brands(["Chromium", "156"], ["Not_A Brand", "99"]), "chrome", "156"],
    ["headless Chrome", brands(["Not)A;Brand", "24"], ["Chromium", "156"], ["HeadlessChrome", "156"]), "chrome", "156"],
    ["Edge", brands(["Chromium", "150"], ["Not?A_Brand", "8"], ["Microsoft Edge", "149"]), "edge", "149"],
    ["another relative", brands(["Brave", "1"], ["Chromium", "150"]), "brave", "1"],
    ["Edge by its text", { userAgent: `${AGENT} Chrome/150.0.0.0 Safari/537.36 Edg/150.0.1.2` }, "edge", "150.0.1.2"],
    ["Chrome by its text", { userAgent: `${AGENT} Chrome/150.0.0.0 Safari/537.36` }, "chrome", "150.0.0.0"],
    [
      "headless Chrome by its text",
      { userAgent: `${AGENT} HeadlessChrome/150.0.0.0 Safari/537.36` },
      "chrome",
      "150.0.0.0",
    ],
    [
      "Firefox",
      { userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0" },
      "firefox",
      "145.0",
    ],
    ["Opera by its text", { userAgent: `${AGENT} Chrome/150.0 Safari/537.36 OPR/120.0` }, "opera", "120.0"],
    ["Safari", { userAgent: `${AGENT} Version/26.1 Safari/605.1.15` }, "safari", "26.1"],
    ["an invented brand only", { ...brands(["Not A;Brand", "99"]) }, "chrome", "150.0.0.0"],
    ["a stranger", { userAgent: "curl/8" }, "unknown", ""],
    ["nothing", { userAgent: "" }, "unknown", ""],
  ])("is recognised: %s", (_, names, type, version) => {
    expect(browserIdentity(names)).toEqual({ type, version });
  });

  it("cannot fill the store with its name", () => {
    const { type, version } = browserIdentity(brands(["x".repeat(9_999), "1".repeat(9_999)]));
    expect([type.length, version.length]).toEqual([50, 50]);
  });
});
