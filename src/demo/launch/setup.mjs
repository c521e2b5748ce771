/** What must be there before anything else can run: the right Node, and the packages of the lockfile. Uses nothing but Node. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { run } from "./commands.mjs";

/** The top of the project. */
export const ROOT = resolve(import.meta.dirname, "../../..");

const INSTALL_TIMEOUT_MS = 10 * 60_000;

/** The versions that vite supports. */
export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if ((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22) return;
  throw new Error(
    `Node ${process.versions.node} is too old: install Node 20.19 or newer, or 22.12 or newer, from https://nodejs.org.`,
  );
}

/**
 * Installs what the lockfile names, unless node_modules holds it already.
 *
 * `npm ci` refuses a lockfile that lacks the optional packages of another platform, as npm writes it where the registry has no
 * such packages. `npm install --no-save` takes the same versions from the same lockfile and leaves the file alone.
 *
 * @param {(line: string) => void} say
 */
export async function installPackages(say) {
  if (packagesAreInstalled()) return;
  say("Installing the npm packages of package-lock.json …");
  const problems = [];
  for (const command of [["ci"], ["install", "--no-save"]]) {
    const args = [...command, "--no-audit", "--no-fund"];
    const { code, output } = await run("npm", args, { timeoutMs: INSTALL_TIMEOUT_MS, cwd: ROOT });
    if (code === 0) return;
    problems.push(`npm ${command.join(" ")}: ${output.slice(-1_000)}`);
  }
  throw new Error(`The npm packages could not be installed; is the npm registry reachable?\n${problems.join("\n")}`);
}

/**
 * Times of files say little after a checkout, so this compares contents: npm writes what it installed to
 * node_modules/.package-lock.json, in the lockfile's own form.
 */
function packagesAreInstalled() {
  const installedFile = join(ROOT, "node_modules/.package-lock.json");
  if (!existsSync(installedFile)) return false;
  const wanted = Object.entries(readPackages(join(ROOT, "package-lock.json")));
  const installed = readPackages(installedFile);
  // Optional packages may be for another machine.
  return wanted.every(
    ([path, { version, optional }]) =>
      path === "" || (installed[path] ? installed[path].version === version : optional),
  );
}

/** @param {string} file @returns {Record<string, { version: string, optional?: boolean }>} */
function readPackages(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages;
}
