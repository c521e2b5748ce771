/** Finds a Chromium-family browser on this machine, or gets one. */
import { accessSync, constants, existsSync, readFileSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { run } from "./commands.mjs";
import { ROOT } from "./setup.mjs";

const INSTALL_TIMEOUT_MS = 10 * 60_000;
const HELP =
  "Install Chromium, Chrome or Edge, or set HOLDFAST_BROWSER to the program file of one: HOLDFAST_BROWSER=/path/to/chrome npm start";

/** In the order in which they are taken. */
const LINUX_NAMES = [
  "chromium",
  "chromium-browser",
  "chrome",
  "microsoft-edge",
  "microsoft-edge-stable",
  "google-chrome",
  "google-chrome-stable",
];
const MAC_APPS = ["Chromium", "Google Chrome for Testing", "Microsoft Edge", "Google Chrome"];
const WINDOWS_PATHS = [
  "Chromium\\Application\\chrome.exe",
  "Microsoft\\Edge\\Application\\msedge.exe",
  "Google\\Chrome\\Application\\chrome.exe",
];

/**
 * HOLDFAST_BROWSER; else a browser on the machine; else, as root on Debian, its package; else Playwright's download.
 *
 * @param {(line: string) => void} say told what takes long
 * @returns {Promise<string>} the program file
 */
export async function findBrowser(say) {
  const named = process.env["HOLDFAST_BROWSER"];
  if (named) {
    if (isProgram(named)) return named;
    throw new Error(`HOLDFAST_BROWSER names ${named}, which is not a program. ${HELP}`);
  }
  const found = installedBrowser() ?? (await playwrightsBrowser());
  if (found) return found;
  const problems = [];
  for (const install of [installFromDebian, installFromPlaywright]) {
    const outcome = await install(say);
    if (outcome.path) return outcome.path;
    problems.push(outcome.problem);
  }
  throw new Error(`No browser was found, and none could be installed (${problems.join("; ")}). ${HELP}`);
}

function installedBrowser() {
  return candidates().find(isProgram);
}

/** @returns {string[]} */
function candidates() {
  if (process.platform === "win32") {
    const bases = ["LOCALAPPDATA", "PROGRAMFILES", "PROGRAMFILES(X86)"]
      .map((name) => process.env[name] ?? "")
      .filter(Boolean);
    return WINDOWS_PATHS.flatMap((path) => bases.map((base) => join(base, path)));
  }
  if (process.platform === "darwin") {
    const folders = ["/Applications", join(homedir(), "Applications")];
    return MAC_APPS.flatMap((app) => folders.map((folder) => join(folder, `${app}.app/Contents/MacOS/${app}`)));
  }
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter(Boolean);
  const onPath = LINUX_NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...onPath, "/opt/google/chrome/chrome", "/opt/microsoft/msedge/msedge"];
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    // A snap is shut off from the folder with our profile and from the pipe that we steer it by.
    return !realpathSync(path).endsWith("/snap") && !isSnapStub(path);
  } catch {
    return false;
  }
}

/** Ubuntu's /usr/bin/chromium-browser is a script that starts the snap, or asks for it. @param {string} path */
function isSnapStub(path) {
  if (!path.endsWith("chromium-browser")) return false;
  const start = readFileSync(path).subarray(0, 4_096).toString("latin1");
  return start.startsWith("#!") && start.includes("snap");
}

/** @typedef {{ path: string, problem?: never } | { path?: never, problem: string }} InstallOutcome */

/** @param {(line: string) => void} say @returns {Promise<InstallOutcome>} */
async function installFromDebian(say) {
  if (!existsSync("/etc/debian_version")) return { problem: "this is not Debian" };
  if (process.getuid?.() !== 0) return { problem: "apt-get needs root" };
  say("No browser found: installing Debian's chromium …");
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [["update"], ["install", "-y", "chromium"]]) {
    const { code, output } = await run("apt-get", args, { timeoutMs: INSTALL_TIMEOUT_MS, env });
    // Stale package lists elsewhere must not stop the install.
    if (code !== 0 && args[0] === "install") return { problem: `apt-get: ${reason(output)}` };
  }
  const path = installedBrowser();
  return path ? { path } : { problem: "apt-get installed no browser" };
}

/** @param {(line: string) => void} say @returns {Promise<InstallOutcome>} */
async function installFromPlaywright(say) {
  say("No browser found: downloading Playwright's Chromium …");
  const { code, output } = await run("npx", ["playwright", "install", "chromium"], {
    timeoutMs: INSTALL_TIMEOUT_MS,
    cwd: ROOT,
  });
  const path = await playwrightsBrowser();
  return path ? { path } : { problem: `playwright install ended with ${code}: ${reason(output)}` };
}

/** Where the installed Playwright keeps its own Chromium. @returns {Promise<string | undefined>} */
async function playwrightsBrowser() {
  try {
    const { chromium } = await import("@playwright/test");
    const path = chromium.executablePath();
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

/** @param {string} output */
function reason(output) {
  const lines = output.trim().split("\n");
  return lines.find((line) => /^(E:|Error)/.test(line)) ?? lines.at(-1) ?? "";
}
