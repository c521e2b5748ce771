/** A build of the extension that can be replaced by a newer one while it runs, as a store does it. */
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";

const TEXTS = new Set([".js", ".mjs", ".html", ".css", ".json"]);

function textsIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => join(folder, path))
    .filter((path) => TEXTS.has(extname(path)) && statSync(path).isFile());
}

/**
 * Puts another version in the place of the build in `folder`: every file of `assets` has another name and, where it is a
 * script, other contents, as after a real build; the manifest says `version`.
 */
export function putNewVersion(folder: string, version: string): void {
  const next = `${folder}-${version}`;
  cpSync(folder, next, { recursive: true });
  const assets = join(next, "assets");
  const names = new Map(readdirSync(assets).map((name) => [name, renamed(name, version)]));
  for (const path of textsIn(next)) {
    let text = readFileSync(path, "utf8");
    for (const [before, after] of names) text = text.replaceAll(before, after);
    if (path.endsWith(".js")) text += `\n/* ${version} */\n`;
    writeFileSync(path, text);
  }
  for (const [before, after] of names) renameSync(join(assets, before), join(assets, after));
  const path = join(next, "manifest.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), version }));
  // Moments without any file: nobody loads one now.
  rmSync(folder, { recursive: true });
  renameSync(next, folder);
}

/** The name that a file of `assets` has in a version. */
export function renamed(name: string, version: string): string {
  const extension = extname(name);
  return `${name.slice(0, -extension.length)}-v${version.replaceAll(".", "")}${extension}`;
}
