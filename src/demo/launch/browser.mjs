/**
 * Starts a Chromium-family browser with an unpacked extension, with stock behaviour, and drives it over raw CDP.
 *
 * Playwright is not used: its default flags switch background throttling off and storage partitioning on, and its attached
 * debuggers keep service workers alive.
 */
import { spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { Cdp } from "./cdp.mjs";
import { browserFlags } from "./flags.mjs";
import { Page } from "./page.mjs";
import { Processes } from "./processes.mjs";
import { stopServiceWorker } from "./service-worker.mjs";
import { settledWithin, until } from "./wait.mjs";

/**
 * @typedef {import("./cdp.mjs").Json} Json
 * @typedef {{ targetId: string, type: string, title: string, url: string, attached: boolean, parentId?: string, parentFrameId?: string }} TargetInfo
 * @typedef {{ executable: string, userDataDir: string, extensionDir?: string, headless?: boolean, extraArgs?: string[], display?: string | undefined }} LaunchOptions
 */

const START_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 10_000;
/** How much of the browser's stderr is kept for the message when it does not start. */
const STDERR_KEPT_CHARS = 4_000;
/** Everything but the browser itself and the tab wrappers around pages. */
const ALL_TARGETS = [{ type: "browser", exclude: true }, { type: "tab", exclude: true }, {}];

/** @param {LaunchOptions} options @returns {Promise<Browser>} */
export async function launchBrowser(options) {
  const { userDataDir, display } = options;
  const extensionDir = options.extensionDir && resolve(options.extensionDir);
  if (extensionDir && !existsSync(join(extensionDir, "manifest.json")))
    throw new Error(`${extensionDir} holds no manifest.json`);
  // A browser that was killed leaves its lock; the profile is ours alone, so it is stale.
  for (const name of ["SingletonLock", "SingletonSocket", "SingletonCookie"])
    rmSync(join(userDataDir, name), { force: true });
  const flags = browserFlags({
    userDataDir,
    headless: options.headless ?? true,
    extensionDir,
    extraArgs: options.extraArgs ?? [],
  });
  const env = display ? { ...process.env, DISPLAY: display } : process.env;
  // A process group of its own: Ctrl-C in the terminal reaches us, and we close the browser in order.
  const child = spawn(options.executable, flags, {
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    detached: true,
    env,
  });
  const browser = new Browser(child, userDataDir);
  try {
    await browser.start(extensionDir);
    return browser;
  } catch (cause) {
    await browser.kill();
    throw new Error(
      `${options.executable} did not start: ${cause instanceof Error ? cause.message : cause}\n${browser.stderr}`,
      { cause },
    );
  }
}

export class Browser {
  /** The extension's id; empty when none was loaded. */
  extensionId = "";
  /** The OS process of the browser itself. */
  pid = 0;
  /** The end of what the browser wrote to stderr. */
  stderr = "";
  #child;
  /** @type {Promise<void>} */
  exited;

  /** @param {import("node:child_process").ChildProcess} child @param {string} userDataDir */
  constructor(child, userDataDir) {
    this.#child = child;
    this.userDataDir = userDataDir;
    const [, , stderr, input, output] = child.stdio;
    stderr?.on("data", (/** @type {Buffer} */ text) => {
      this.stderr = (this.stderr + text).slice(-STDERR_KEPT_CHARS);
    });
    this.exited = new Promise((done) => {
      child.on("exit", () => done());
      child.on("error", (error) => {
        this.stderr += error.message;
        done();
      });
    });
    this.cdp = new Cdp(
      /** @type {import("node:stream").Writable} */ (input),
      /** @type {import("node:stream").Readable} */ (/** @type {unknown} */ (output)),
    );
    this.processes = new Processes(this);
  }

  /** @param {string | undefined} extensionDir */
  async start(extensionDir) {
    await this.cdp.send("Browser.getVersion", {}, undefined, START_TIMEOUT_MS);
    this.pid = (await this.processes.list()).find(({ type }) => type === "browser")?.id ?? this.#child.pid ?? 0;
    if (extensionDir) this.extensionId = await this.#loadExtension(extensionDir);
  }

  /** @param {string} path @returns {Promise<string>} */
  async #loadExtension(path) {
    // A profile that had the extension brings it back by itself; loading it again would restart it.
    const { extensions } = await this.cdp.send("Extensions.getExtensions").catch(() => ({ extensions: [] }));
    const known = extensions.find((/** @type {Json} */ extension) => extension.path === path && extension.enabled);
    return known ? known.id : (await this.cdp.send("Extensions.loadUnpacked", { path })).id;
  }

  /** @returns {Promise<TargetInfo[]>} pages, frames with a process of their own, and workers */
  async targets() {
    return (await this.cdp.send("Target.getTargets", { filter: ALL_TARGETS })).targetInfos;
  }

  /** @param {string} path of a file in the extension */
  extensionUrl(path) {
    return `chrome-extension://${this.extensionId}/${path}`;
  }

  /**
   * A new tab on `url`, attached, with its console collected.
   *
   * @param {string} url
   * @param {{ background?: boolean }} [options]
   */
  async newPage(url, { background = false } = {}) {
    const { targetId } = await this.cdp.send("Target.createTarget", { url: "about:blank", background });
    const page = await Page.attach(this.cdp, targetId);
    await page.listen();
    if (url !== "about:blank") await page.goto(url);
    return page;
  }

  /**
   * Attaches to the first target that `predicate` accepts; waits for it. Detach it again: an attached debugger changes how long
   * a worker lives.
   *
   * @param {(target: TargetInfo) => boolean} predicate
   * @param {{ timeoutMs?: number }} [options]
   */
  async attach(predicate, options = {}) {
    const find = async () => (await this.targets()).find(predicate);
    const { targetId } = await until("a target to attach to", find, options);
    return Page.attach(this.cdp, targetId);
  }

  /** Stops the extension's service worker as the browser does when it is idle; resolves once it has really stopped. */
  stopServiceWorker() {
    return stopServiceWorker(this);
  }

  /**
   * Answers the consent window as a user does, by a trusted click, and waits until it has closed.
   *
   * @param {"allow" | "deny"} [answer]
   * @param {{ timeoutMs?: number }} [options]
   */
  async clickConsent(answer = "allow", options = {}) {
    const { targetId } = await until("the consent window", () => this.#consentWindow(), options);
    const window = await Page.attach(this.cdp, targetId);
    // Its buttons wait a moment, so that nobody is tricked into a click.
    await window.waitFor(`document.querySelector("#${answer}")?.disabled === false`);
    await window.click(`#${answer}`);
    await until("the consent window to close", async () => !(await this.#consentWindow()), options);
  }

  /**
   * Says yes in the consent window if it opens before `settled`: a site that was allowed before is not asked again.
   *
   * @param {() => boolean} settled
   */
  async clickConsentUnless(settled) {
    const found = async () => settled() || (await this.#consentWindow());
    if ((await until("a consent window", found, { timeoutMs: START_TIMEOUT_MS })) !== true) await this.clickConsent();
  }

  async #consentWindow() {
    const path = this.extensionUrl("popup/consent.html");
    return (await this.targets()).find(({ type, url }) => type === "page" && url.startsWith(path));
  }

  /** Ends the browser in order; by force when it does not go. */
  async close() {
    await this.cdp.send("Browser.close", {}, undefined, CLOSE_TIMEOUT_MS).catch(() => {});
    await settledWithin(this.exited, CLOSE_TIMEOUT_MS);
    await this.kill();
  }

  /** SIGKILL to the browser and all its processes, as a crash of the machine would; the profile stays. */
  async kill() {
    const pids = this.cdp.closed ? [] : (await this.processes.list().catch(() => [])).map(({ id }) => id);
    for (const pid of [this.pid, ...pids]) killQuietly(pid);
    this.#child.kill("SIGKILL");
    await settledWithin(this.exited, CLOSE_TIMEOUT_MS);
  }
}

/** @param {number} pid */
function killQuietly(pid) {
  if (pid <= 0) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It was gone already.
  }
}
