/** Every kind of fault, injected for real. */

import type { Page } from "../../src/demo/launch/page.mjs";
import { sleep } from "../../src/demo/launch/wait.mjs";
import { FAULTS } from "../browser/support/faults.ts";
import { wholeNumber } from "../browser/support/random.ts";
import { DOWNLOADED, type Setting } from "./setting.ts";

export interface Aimed {
  readonly setting: Setting;
  readonly random: () => number;
  /** The host that it is aimed at, and the page that has its session. */
  readonly hostId: string;
  readonly page: Page;
  /** Counts the faults. */
  readonly number: number;
}

/** What a fault that does not end at once leaves to be waited for. */
export interface Lasting {
  /** Resolves when the cause is gone, with the error that the page met, if any. */
  readonly over: Promise<{ readonly code: string; readonly message: string } | null>;
}

export interface Kind {
  readonly name: string;
  /** Whose answers show that it is over: the work's that it was aimed at, those of its page, all works', or nobody's but its own. */
  readonly hits: "one" | "page" | "all" | "itself";
  /** Only a stage on the GPU is aimed at. */
  readonly needsGpu?: boolean;
  /** Twice within a minute the same is a user's pause. */
  readonly closesTab?: boolean;
  /** Errors that the page is to be told. */
  readonly predicts?: readonly string[];
  aim(aimed: Aimed): Promise<() => Promise<Lasting | unknown>>;
}

/** A short stop is none; a long one must be taken for a hang. */
const STOPPED_MS = { least: 300, most: 7_000 };
const NO_QUOTA_MS = { least: 1_000, most: 4_000 };
const DOWNLOAD_MS = 150_000;
const DEVICE_USED_MS = 15_000;

export const KINDS: readonly Kind[] = [
  { name: "frame process killed", hits: "one", aim: shared("host process killed") },
  { name: "host tabs' process killed", hits: "all", aim: shared("all host tabs' process killed") },
  { name: "bridge's process killed", hits: "page", aim: shared("bridge's process killed") },
  { name: "service worker's process killed", hits: "all", aim: killServiceWorker },
  { name: "service worker stopped", hits: "all", aim: shared("service worker stopped") },
  { name: "GPU process killed", hits: "all", needsGpu: true, aim: killGpu },
  { name: "frame process stopped", hits: "one", aim: stop },
  { name: "busy loop", hits: "one", aim: shared("host hung in a busy loop") },
  { name: "tab closed", hits: "one", closesTab: true, aim: shared("host tab closed") },
  { name: "tab discarded", hits: "one", aim: discardTab },
  { name: "out of memory", hits: "one", aim: fillHeap },
  { name: "device destroyed", hits: "one", needsGpu: true, aim: destroyDevice },
  { name: "download broken", hits: "itself", aim: download("drops") },
  { name: "download stalled", hits: "itself", aim: download("stalls") },
  { name: "no storage quota", hits: "all", aim: takeQuota },
];

function shared(name: string): Kind["aim"] {
  const fault = FAULTS.find((one) => one.name === name);
  if (fault === undefined) throw new Error(`there is no fault "${name}"`);
  return ({ setting: { browser }, page, hostId }) => fault.aim({ browser, page, hostId, phase: "dispatch" });
}

/** It has the bridges of pages that are not isolated in it as well, by which it is found. */
async function killServiceWorker({ setting: { browser, pages } }: Aimed): Promise<() => Promise<unknown>> {
  const pid = await browser.processes.pidOfBridge(pages[0]?.targetId);
  return async () => browser.processes.kill(pid);
}

async function killGpu({ setting: { browser } }: Aimed): Promise<() => Promise<unknown>> {
  const pid = await browser.processes.gpuPid();
  return async () => browser.processes.kill(pid);
}

async function stop({ setting: { browser }, hostId, random }: Aimed): Promise<() => Promise<Lasting>> {
  const pid = await browser.processes.pidOfHost(hostId);
  const forMs = wholeNumber(random, STOPPED_MS.least, STOPPED_MS.most);
  return async () => {
    process.kill(pid, "SIGSTOP");
    const goOn = async (): Promise<null> => {
      await sleep(forMs);
      try {
        process.kill(pid, "SIGCONT");
      } catch {
        // Its frame was taken away meanwhile.
      }
      return null;
    };
    return { over: goOn() };
  };
}

/** As the browser does when memory is short. The order goes through a page of the extension, which may do so as well. */
async function discardTab({ setting: { browser }, hostId }: Aimed): Promise<() => Promise<unknown>> {
  const page = await browser.newPage(browser.extensionUrl("popup/popup.html"), { background: true });
  return async () => {
    try {
      await page.evaluate(async (id) => {
        const tabs = await chrome.tabs.query({});
        const tab = tabs.find(({ url, pendingUrl }) => (url ?? pendingUrl ?? "").includes(`host-tab.html?host=${id}`));
        if (tab?.id === undefined) throw new Error(`host ${id} has no tab`);
        await chrome.tabs.discard(tab.id);
      }, hostId);
    } finally {
      await page.close();
    }
  };
}

function attachFrame({ browser }: Setting, hostId: string): Promise<Page> {
  return browser.attach(({ url }) => url.includes(`host-frame.html?host=${hostId}`));
}

async function fillHeap({ setting, hostId }: Aimed): Promise<() => Promise<unknown>> {
  const frame = await attachFrame(setting, hostId);
  // Doubles: garbage collections do not look into them, so that the end comes before the host counts as hung.
  const expression = "{ const all = []; for (;;) all.push(new Array(100_000).fill(all.length + 0.5)); }";
  return async () => {
    const died = await frame.send("Runtime.evaluate", { expression }).catch((error: unknown) => String(error));
    if (typeof died !== "string" || !died.includes("is gone")) throw new Error(`it lives: ${JSON.stringify(died)}`);
  };
}

/** By whoever uses the device next in this frame: nobody else has hold of it. */
async function destroyDevice({ setting, hostId }: Aimed): Promise<() => Promise<unknown>> {
  const frame = await attachFrame(setting, hostId);
  return async () => {
    try {
      await frame.evaluateWithin(DEVICE_USED_MS, () => {
        const device = GPUDevice.prototype;
        const make = device.createCommandEncoder;
        return new Promise<void>((resolve) => {
          device.createCommandEncoder = function (...given) {
            device.createCommandEncoder = make;
            this.destroy();
            resolve();
            return make.apply(this, given);
          };
        });
      });
    } finally {
      await frame.detach();
    }
  };
}

/** A session of its own, whose model's server breaks off or says nothing more in the middle of the file. */
function download(how: "drops" | "stalls"): Kind["aim"] {
  return async ({ setting: { hub, pageOf }, number, random }) => {
    const path = `/download/${number}.onnx`;
    const times = how === "drops" ? wholeNumber(random, 1, 3) : 1;
    const places = Array.from({ length: times }, () => wholeNumber(random, 1, DOWNLOADED.length / (times + 1)));
    hub.files.set(path, { bytes: DOWNLOADED, [how]: places });
    return async () => {
      const opened = pageOf("vad").evaluateWithin(
        DOWNLOAD_MS,
        `chaos.once("vad", ${JSON.stringify(hub.origin + path)})`,
      ) as Promise<{ readonly code: string | null; readonly message: string | null }>;
      const over = async () => {
        const { code, message } = await opened;
        return code === null ? null : { code, message: message ?? "" };
      };
      return { over: over() };
    };
  };
}

async function takeQuota({ setting: { browser, pages }, random }: Aimed): Promise<() => Promise<Lasting>> {
  const [page] = pages;
  const origin = browser.extensionUrl("").replace(/\/$/, "");
  const forMs = wholeNumber(random, NO_QUOTA_MS.least, NO_QUOTA_MS.most);
  return async () => {
    await page?.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 0 });
    const giveBack = async (): Promise<null> => {
      await sleep(forMs);
      await page?.send("Storage.overrideQuotaForOrigin", { origin });
      return null;
    };
    return { over: giveBack() };
  };
}
