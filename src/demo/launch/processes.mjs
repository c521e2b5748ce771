/**
 * Which OS process runs what, and real SIGKILLs for them.
 *
 * CDP's targets do not carry a process id. The first event of a trace does, for every frame of a page (`TracingStartedInBrowser`),
 * without running code in any of them, so that a hung or a computing frame is found as well. A trace takes 20–150 ms: aim first
 * (`pidOfHost`), fire later (`kill`), where the moment matters.
 */
import { Page } from "./page.mjs";
import { until } from "./wait.mjs";

/**
 * @typedef {import("./browser.mjs").Browser} Browser
 * @typedef {import("./browser.mjs").TargetInfo} TargetInfo
 * @typedef {import("./cdp.mjs").Json} Json
 * @typedef {{ type: string, id: number, cpuTime: number }} ProcessInfo `type`: browser, renderer, GPU …; `cpuTime` in seconds
 * @typedef {{ frameId: string, url: string, pid: number }} FrameProcess
 */

const TRACE_TIMEOUT_MS = 10_000;
const TRACE_CONFIG = { includedCategories: ["disabled-by-default-devtools.timeline"], excludedCategories: ["*"] };

export class Processes {
  #browser;
  /** The browser allows one trace at a time. @type {Promise<unknown>} */
  #traces = Promise.resolve();

  /** @param {Browser} browser */
  constructor(browser) {
    this.#browser = browser;
  }

  /** @returns {Promise<ProcessInfo[]>} every process of this browser */
  async list() {
    return (await this.#browser.cdp.send("SystemInfo.getProcessInfo")).processInfo;
  }

  async rendererPids() {
    return (await this.list()).filter(({ type }) => type === "renderer").map(({ id }) => id);
  }

  async gpuPid() {
    const gpu = await until("a GPU process", async () => (await this.list()).find(({ type }) => type === "GPU"));
    return gpu.id;
  }

  /**
   * @param {string} targetId of a page (a tab, a popup window, the offscreen document)
   * @returns {Promise<FrameProcess[]>} its frames, the main one first, each with the process that runs it
   */
  frames(targetId) {
    const frames = this.#traces.then(() => this.#trace(targetId));
    this.#traces = frames.catch(() => {});
    return frames;
  }

  /** The process of a host's sandbox frame, in its host tab or in the offscreen document. @param {string} hostId */
  async pidOfHost(hostId) {
    const frame = await until(`a frame of host ${hostId}`, async () => {
      const targets = await this.#browser.targets();
      const own = targets.filter(({ url }) => this.#isPage(url, "offscreen/host-tab.html") && isOfHost(url, hostId));
      const shared = targets.filter(({ url }) => this.#isPage(url, "offscreen/offscreen.html"));
      for (const { targetId } of [...own, ...shared]) {
        const frames = await this.frames(targetId).catch(() => []);
        const found = frames.find(({ url }) => this.#isPage(url, "offscreen/host-frame.html") && isOfHost(url, hostId));
        if (found) return found;
      }
      return undefined;
    });
    return frame.pid;
  }

  /** The one process that all host tabs (their thin outer pages) share. */
  async pidOfHostTabs() {
    const isTab = (/** @type {TargetInfo} */ { url }) => this.#isPage(url, "offscreen/host-tab.html");
    const tab = await until("a host tab", async () => (await this.#browser.targets()).find(isTab));
    return (await this.#mainFrame(tab.targetId)).pid;
  }

  /**
   * The process of the bridge frames inside web pages.
   *
   * @param {string} [pageTargetId] the page whose bridge is meant; without it, any
   */
  async pidOfBridge(pageTargetId = undefined) {
    const frame = await until("a bridge frame", async () => {
      const targets = await this.#browser.targets();
      const pages = targets.filter(({ type, targetId }) => type === "page" && (pageTargetId ?? targetId) === targetId);
      for (const { targetId, url } of pages) {
        if (url.startsWith("chrome")) continue;
        const frames = await this.frames(targetId).catch(() => []);
        const found = frames.find((frame) => this.#isPage(frame.url, "src/bridge.html"));
        if (found) return found;
      }
      return undefined;
    });
    return frame.pid;
  }

  /** The process that runs a page's own main frame. @param {string} targetId */
  async pidOfPage(targetId) {
    return (await this.#mainFrame(targetId)).pid;
  }

  /** @param {string} hostId */
  async killFrame(hostId) {
    return this.kill(await this.pidOfHost(hostId));
  }

  async killHostTabs() {
    return this.kill(await this.pidOfHostTabs());
  }

  /** @param {string} [pageTargetId] */
  async killBridge(pageTargetId = undefined) {
    return this.kill(await this.pidOfBridge(pageTargetId));
  }

  async killGpu() {
    return this.kill(await this.gpuPid());
  }

  /**
   * SIGKILL (on Windows: TerminateProcess), which no process can catch.
   *
   * @param {number} pid
   * @returns {number} the pid
   */
  kill(pid) {
    process.kill(pid, "SIGKILL");
    return pid;
  }

  /** @param {string} targetId */
  async #mainFrame(targetId) {
    const [main] = await this.frames(targetId);
    if (!main) throw new Error(`target ${targetId} has no frame`);
    return main;
  }

  /** @param {string} url @param {string} path */
  #isPage(url, path) {
    return url.startsWith(this.#browser.extensionUrl(path));
  }

  /** @param {string} targetId @returns {Promise<FrameProcess[]>} */
  async #trace(targetId) {
    const { cdp } = this.#browser;
    const page = await Page.attach(cdp, targetId);
    /** @type {Json[]} */
    const events = [];
    let complete = false;
    const offs = [
      cdp.on("Tracing.dataCollected", ({ value }, sessionId) => {
        if (sessionId === page.sessionId) events.push(...value);
      }),
      cdp.on("Tracing.tracingComplete", (_, sessionId) => {
        complete ||= sessionId === page.sessionId;
      }),
    ];
    try {
      await page.send("Tracing.start", { traceConfig: TRACE_CONFIG, transferMode: "ReportEvents" }, TRACE_TIMEOUT_MS);
      await page.send("Tracing.end", {}, TRACE_TIMEOUT_MS);
      await until("the end of a trace", () => complete, { timeoutMs: TRACE_TIMEOUT_MS, everyMs: 2 });
    } finally {
      for (const off of offs) off();
      await page.detach();
    }
    const started = events.find(({ name }) => name === "TracingStartedInBrowser");
    return (started?.args.data.frames ?? []).map((/** @type {Json} */ { frame, url, processId }) => ({
      frameId: frame,
      url,
      pid: processId,
    }));
  }
}

/** @param {string} url @param {string} hostId */
function isOfHost(url, hostId) {
  return URL.canParse(url) && new URL(url).searchParams.get("host") === hostId;
}
