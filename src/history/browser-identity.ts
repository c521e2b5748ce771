import type { BrowserIdentity } from "../protocol/host.ts";

export interface NavigatorNames {
  readonly userAgent: string;
  /** `navigator.userAgentData.brands`, where the browser has them. */
  readonly brands?: readonly { readonly brand: string; readonly version: string }[] | undefined;
}

const BRANDS: Readonly<Record<string, string>> = {
  "Google Chrome": "chrome",
  HeadlessChrome: "chrome",
  Chromium: "chrome",
  "Microsoft Edge": "edge",
};
/** An invented brand that keeps sites from relying on the list. */
const GREASE = /not.*brand/i;
/** Chromium's relatives name Chrome as well, so they come first. */
const AGENTS: readonly (readonly [string, RegExp])[] = [
  ["edge", /\bEdg(?:A|iOS)?\/([\d.]+)/],
  ["opera", /\bOPR\/([\d.]+)/],
  ["firefox", /\bFirefox\/([\d.]+)/],
  ["chrome", /\b(?:Headless)?Chrome\/([\d.]+)/],
  ["safari", /\bVersion\/([\d.]+).*\bSafari\//],
];
const CHARS_MAX = 50;

/** From the brands where there are any, else from the user agent's text. */
export function browserIdentity({ brands = [], userAgent }: NavigatorNames): BrowserIdentity {
  const real = brands.filter(({ brand }) => !GREASE.test(brand));
  const found = real.find(({ brand }) => brand !== "Chromium") ?? real[0];
  if (found !== undefined) return identity(BRANDS[found.brand] ?? found.brand.toLowerCase(), found.version);
  for (const [type, pattern] of AGENTS) {
    const match = pattern.exec(userAgent);
    if (match !== null) return identity(type, match[1] ?? "");
  }
  return identity("unknown", "");
}

function identity(type: string, version: string): BrowserIdentity {
  return { type: type.slice(0, CHARS_MAX), version: version.slice(0, CHARS_MAX) };
}
