import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const LINES_MAX = 400;

/**
 * A folder imports only folders that stand before it. `state` stands after `protocol`: what the journal and the
 * checkpoints hold is what the protocol speaks of (options, faults, plans, records).
 */
const LAYERS = [
  "base",
  "shard",
  "fault",
  "history",
  "protocol",
  "state",
  "host",
  "pool",
  "driver",
  "page",
  "link",
  "adapters",
];
/** These meet in `protocol` and never import each other. */
const APART = ["host", "pool", "driver", "page"];

function filesUnder(folder: string, pattern: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
}

/** The folder under src that a file or an import belongs to; undefined for the entries, which wire everything. */
function layerOf(path: string): string | undefined {
  const [top, folder, file] = path.split("/");
  return top === "src" && file !== undefined ? folder : undefined;
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  const found = text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g);
  return [...found].map(([, path = ""]) => relative(ROOT, resolve(ROOT, file, "..", path)));
}

function allowed(from: string, to: string): boolean {
  if (from === to) return true;
  if (APART.includes(from) && APART.includes(to)) return false;
  return LAYERS.indexOf(to) >= 0 && LAYERS.indexOf(to) < LAYERS.indexOf(from);
}

describe("folders under src", () => {
  const sources = filesUnder("src", /\.ts$/);

  it("are all known", () => {
    const folders = new Set(sources.flatMap((file) => layerOf(file) ?? []));
    expect([...folders].filter((folder) => !LAYERS.includes(folder) && folder !== "demo")).toEqual([]);
  });

  it("import only what stands before them", () => {
    const wrong = sources.flatMap((file) => {
      const from = layerOf(file);
      if (from === undefined || from === "demo") return [];
      return importsOf(file)
        .filter((target) => {
          const to = layerOf(target);
          return to === undefined ? target.startsWith("src/") : !allowed(from, to);
        })
        .map((target) => `${file} imports ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it("know the rule: a folder that stands later, and one of the four that stay apart, are seen", () => {
    expect(allowed("base", "shard")).toBe(false);
    expect(allowed("driver", "host")).toBe(false);
    expect(allowed("state", "protocol")).toBe(true);
    expect(importsOf("src/pool/start.ts")).toContain("src/state/pool-state.ts");
  });
});

it("no file is longer than a reader can hold", () => {
  const files = ["src", "offscreen", "popup"].flatMap((folder) => filesUnder(folder, /\.(ts|mjs|css|html)$/));
  const long = files.filter((file) => readFileSync(join(ROOT, file), "utf8").split("\n").length - 1 > LINES_MAX);
  expect(long).toEqual([]);
});
