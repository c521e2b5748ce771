import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const LINES_MAX = 400;

/**
 * A folder imports only those that stand before it. `state` stands after `protocol`: its records are made of protocol
 * types (options, status, faults). That order is this project's own.
 */
const ORDER = [
  "base",
  "shard",
  "fault",
  "protocol",
  "state",
  "history",
  "store",
  "host",
  "pool",
  "driver",
  "page",
  "link",
  "adapters",
] as const;
type Folder = (typeof ORDER)[number];

/** They meet in `protocol`; adapters and entries wire them. */
const SEPARATE: readonly Folder[] = ["pool", "host", "driver", "page"];

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(ROOT, folder, name))
    .filter((path) => /\.ts$/.test(basename(path)));
}

function importsOf(text: string): string[] {
  const found = text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)"(\.[^"]+)"/g);
  return [...found].map(([, path]) => path as string);
}

function folderOf(path: string): string {
  return relative(join(ROOT, "src"), path).split(sep)[0] ?? "";
}

function isFolder(name: string): name is Folder {
  return (ORDER as readonly string[]).includes(name);
}

/** Why a file of `from` may not import one of `to`; null: it may. */
function objection(from: Folder, to: string): string | null {
  if (from === to) return null;
  if (!isFolder(to)) return `${to} is an entry or a folder that nothing imports`;
  if (SEPARATE.includes(from) && SEPARATE.includes(to)) return `${from} and ${to} meet in protocol only`;
  return ORDER.indexOf(to) < ORDER.indexOf(from) ? null : `${to} stands after ${from}`;
}

describe("the rule of the layers", () => {
  it.each<[Folder, string, boolean]>([
    ["base", "base", true],
    ["fault", "base", true],
    ["state", "protocol", true],
    ["protocol", "state", false],
    ["host", "pool", false],
    ["pool", "host", false],
    ["page", "driver", false],
    ["adapters", "pool", true],
    ["base", "background.ts", false],
    ["page", "demo", false],
  ])("lets %s import %s: %s", (from, to, allowed) => {
    expect(objection(from, to) === null).toBe(allowed);
  });

  it("reads every form of import", () => {
    const text =
      'import { a } from "../x.ts";\nimport type { b } from "./y.ts";\nexport { c } from "../z.ts";\nimport "./side.ts";\n' +
      'const d = await import("./late.ts");\nimport {\n  e,\n} from "../many.ts";\nimport f from "package";';
    expect(importsOf(text)).toEqual(["../x.ts", "./y.ts", "../z.ts", "./side.ts", "./late.ts", "../many.ts"]);
  });
});

describe("the source", () => {
  const files = sourceFiles("src");

  it("is found", () => {
    expect(files.length).toBeGreaterThan(50);
  });

  it("imports only what stands before it", () => {
    const violations = files.flatMap((file) => {
      const from = folderOf(file);
      if (!isFolder(from)) return [];
      return importsOf(readFileSync(file, "utf8")).flatMap((path) => {
        const why = objection(from, folderOf(resolve(dirname(file), path)));
        return why === null ? [] : [`${relative(ROOT, file)} imports ${path}: ${why}`];
      });
    });
    expect(violations).toEqual([]);
  });

  it.each(["src", "offscreen", "popup"])(`has no file of more than ${LINES_MAX} lines in %s`, (folder) => {
    const long = sourceFiles(folder)
      .map((file) => ({ file: relative(ROOT, file), lines: readFileSync(file, "utf8").trimEnd().split("\n").length }))
      .filter(({ lines }) => lines > LINES_MAX);
    expect(long).toEqual([]);
  });
});
