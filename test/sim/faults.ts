import type { ErrorCode } from "../../src/base/errors.ts";
import { HOST_BOOT_DEADLINE_MS, PAGE_GRACE_MS } from "../../src/base/limits.ts";
import type { Random } from "../unit/random.ts";
import type { FaultKind } from "./plan.ts";
import type { Browser } from "./world/browser.ts";
import type { Frame } from "./world/frame.ts";

/** What a fault is aimed at. Null: there is no such thing just then. */
export interface Target {
  readonly browser: Browser;
  readonly random: Random;
  readonly sessionId: string | null;
  readonly stage: number;
  readonly hostId: string | null;
  readonly frame: Frame | null;
  killBridge(): void;
  /** `takesUp`: the new page goes on with the sessions of the old one. */
  reloadPage(takesUp: boolean): void;
}

interface Fault {
  inject(target: Target): void;
  /** Errors that the fault table predicts beside those of the session's level. */
  readonly mayFail?: readonly ErrorCode[];
  /** It goes on for so long; 0 when left out. */
  readonly lastsMs?: number;
  /** Within this many milliseconds after the last fault, whatever is waited for has come. */
  readonly boundMs: number;
}

const BOUND_MS = 20_000;
/** Nobody hears of a page that dies while it loads: its host does not start before its deadline. */
const PAGE_BOUND_MS = HOST_BOOT_DEADLINE_MS + BOUND_MS;
/** A hang in a host's first run is found after a minute only. */
const HANG_BOUND_MS = 90_000;
/** What was waited for while nothing ran, or while the clock was set, is given its time again. */
const SLEEP_BOUND_MS = HOST_BOOT_DEADLINE_MS + PAGE_BOUND_MS;
/** Whatever the machine may be busy with in its sleep. */
const SLEEPS_MS = [5_000, 60_000, 8 * 3_600_000];
const HOUR_MS = 3_600_000;
/** Longer than every host waits for its start that a ladder may try. */
const BOOTS_FAIL_MS = 4 * 31_000;
/** The session of a page that went holds its hosts until its grace is over. */
const GRACE_MS = 2 * PAGE_GRACE_MS;

export const FAULT_TABLE: Readonly<Record<FaultKind, Fault>> = {
  hostCrash: { boundMs: BOUND_MS, inject: ({ frame }) => frame?.context.kill() },
  hostHang: { boundMs: HANG_BOUND_MS, inject: ({ frame }) => frame?.context.busy(Number.POSITIVE_INFINITY) },
  hostSlow: {
    boundMs: BOUND_MS,
    inject: ({ frame, random }) => {
      if (frame === null) return;
      frame.runtime.slowness = 5 + random.next() * 25;
      frame.context.busy(random.next() * 1_500);
    },
  },
  hostNoMemory: {
    boundMs: BOUND_MS,
    mayFail: ["OUT_OF_MEMORY"],
    inject: ({ frame }) => {
      if (frame !== null) frame.runtime.memoryIsShort = true;
    },
  },
  deviceLost: {
    boundMs: HANG_BOUND_MS,
    inject: ({ browser }) => {
      browser.gpuBackAt = browser.loop.now + 350;
      for (const { page } of browser.tabs.values()) page?.frame?.runtime.loseDevice();
    },
  },
  hostPagesKilled: {
    boundMs: PAGE_BOUND_MS,
    inject: ({ browser }) => {
      for (const { page } of browser.tabs.values()) page?.kill();
    },
  },
  tabClosed: {
    boundMs: PAGE_BOUND_MS,
    mayFail: ["SESSION_PAUSED"],
    inject: ({ browser, hostId }) => {
      const tab = hostId === null ? undefined : browser.tabOf(hostId);
      if (tab !== undefined) browser.closeTab(tab.tabId);
    },
  },
  tabFrozen: {
    boundMs: PAGE_BOUND_MS,
    inject: ({ browser, hostId }) => {
      const tab = hostId === null ? undefined : browser.tabOf(hostId);
      if (tab !== undefined) browser.freezeTab(tab.tabId);
    },
  },
  tabDiscarded: {
    boundMs: PAGE_BOUND_MS,
    inject: ({ browser, hostId }) => {
      const tab = hostId === null ? undefined : browser.tabOf(hostId);
      if (tab !== undefined) browser.discardTab(tab.tabId);
    },
  },
  workerKilled: { boundMs: PAGE_BOUND_MS, inject: ({ browser }) => browser.killWorker() },
  bridgeKilled: { boundMs: BOUND_MS, inject: ({ killBridge }) => killBridge() },
  bridgesAndWorkerKilled: {
    boundMs: PAGE_BOUND_MS,
    inject: ({ browser }) => {
      for (const { context } of browser.bridges) context.kill();
      browser.killWorker();
    },
  },
  pageReloaded: { boundMs: BOUND_MS, lastsMs: GRACE_MS, inject: ({ reloadPage }) => reloadPage(false) },
  pageTakesUp: {
    // Sometimes it comes when they are parked.
    lastsMs: GRACE_MS,
    boundMs: PAGE_BOUND_MS + BOUND_MS,
    inject: ({ reloadPage }) => reloadPage(true),
  },
  // Each channel keeps its order, and none keeps up with the others.
  messagesReordered: {
    boundMs: BOUND_MS,
    inject: ({ browser, random }) => {
      browser.reorderedUntil = browser.loop.now + 200 + random.next() * 1_500;
    },
  },
  diskFull: {
    boundMs: BOUND_MS,
    lastsMs: 2_100,
    mayFail: ["QUOTA_EXCEEDED", "RECOVERY_FAILED"],
    inject: ({ browser, random }) => {
      browser.trouble.fullUntil = browser.loop.now + 100 + random.next() * 2_000;
    },
  },
  diskSlow: {
    boundMs: HANG_BOUND_MS,
    lastsMs: 4_000,
    inject: ({ browser, random }) => {
      browser.trouble.slowUntil = browser.loop.now + random.next() * 4_000;
    },
  },
  checkpointTorn: { boundMs: BOUND_MS, mayFail: ["STATE_LOST"], inject: (target) => damage(target, "torn") },
  checkpointLost: { boundMs: BOUND_MS, mayFail: ["STATE_LOST"], inject: (target) => damage(target, "lost") },
  journalTorn: {
    boundMs: PAGE_BOUND_MS,
    mayFail: ["SESSION_UNKNOWN"],
    inject: (target) => damageJournal(target, "torn"),
  },
  journalLost: {
    boundMs: PAGE_BOUND_MS,
    mayFail: ["SESSION_UNKNOWN"],
    inject: (target) => damageJournal(target, "lost"),
  },
  sleep: { boundMs: SLEEP_BOUND_MS, inject: ({ browser, random }) => browser.loop.sleep(random.pick(SLEEPS_MS)) },
  clockJump: {
    boundMs: SLEEP_BOUND_MS,
    inject: ({ browser, random }) => {
      browser.loop.wallOffset += (random.chance(0.5) ? 1 : -1) * random.next() * 2 * HOUR_MS;
    },
  },
  bootsFail: {
    // Every step of the ladder waits for a host to start, in vain.
    boundMs: 5 * 30_000 + BOUND_MS,
    lastsMs: BOOTS_FAIL_MS,
    mayFail: ["RECOVERY_FAILED", "HOST_LOST", "MODEL_FETCH_STALLED"],
    inject: ({ browser, frame }) => {
      browser.bootsFail = true;
      browser.loop.after(BOOTS_FAIL_MS, () => {
        browser.bootsFail = false;
      });
      frame?.context.kill();
    },
  },
  // Where nobody votes nobody can know; where two of three lie of one run, no majority is left.
  hostLies: {
    boundMs: BOUND_MS,
    inject: ({ frame, random }) => {
      // No two of them say the same.
      const by = 1 + random.below(1_000);
      if (frame !== null) frame.runtime.nextLie = { about: random.chance(0.5) ? "output" : "rows", by };
    },
  },
};

/** Stored state is damaged, and its host dies: now it is needed. */
function damage({ browser, sessionId, stage, frame }: Target, how: "torn" | "lost"): void {
  if (sessionId === null) return;
  browser.checkpoints.damage(sessionId, stage, how);
  frame?.context.kill();
}

function damageJournal({ browser }: Target, how: "torn" | "lost"): void {
  browser.killWorker();
  browser.journalDisk.damage(how);
}
