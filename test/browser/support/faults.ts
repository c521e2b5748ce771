/** The faults that a session at level medium survives, injected for real: no mock stands between. */
import type { HoldPhase } from "../../../src/protocol/host.ts";
import type { Browser, Page } from "../harness/fixtures.ts";

export interface Target {
  readonly browser: Browser;
  readonly page: Page;
  readonly hostId: string;
  readonly phase: HoldPhase;
}

export interface Fault {
  readonly name: string;
  /** Aims, which takes a while; what it resolves with fires at once and resolves when the fault has happened. */
  aim(target: Target): Promise<() => Promise<unknown>>;
  /** The held host's tab dies with it. */
  readonly losesTab: boolean;
  /** Stages are lost: a recovery must be told. */
  readonly losesStages: boolean;
}

export const FAULTS: readonly Fault[] = [
  {
    name: "host process killed",
    losesTab: false,
    losesStages: true,
    aim: async ({ browser: { processes }, hostId }) => {
      const pid = await processes.pidOfHost(hostId);
      return async () => processes.kill(pid);
    },
  },
  {
    name: "host tab closed",
    losesTab: true,
    losesStages: true,
    aim: async ({ browser, hostId }) => closeTab(browser, hostId),
  },
  { name: "host hung in a busy loop", losesTab: false, losesStages: true, aim: hang },
  {
    name: "service worker stopped",
    losesTab: false,
    losesStages: false,
    aim:
      async ({ browser }) =>
      () =>
        browser.stopServiceWorker(),
  },
  {
    name: "bridge's process killed",
    losesTab: false,
    losesStages: false,
    aim: async ({ browser: { processes }, page }) => {
      const pid = await processes.pidOfBridge(page.targetId);
      return async () => processes.kill(pid);
    },
  },
  {
    name: "all host tabs' process killed",
    losesTab: true,
    losesStages: true,
    aim: async ({ browser: { processes } }) => {
      const pid = await processes.pidOfHostTabs();
      return async () => processes.kill(pid);
    },
  },
];

export async function closeTab(browser: Browser, hostId: string): Promise<() => Promise<unknown>> {
  const tab = (await browser.targets()).find(({ url }) => url.includes(`host-tab.html?host=${hostId}`));
  if (tab === undefined) throw new Error(`host ${hostId} has no tab`);
  return () => browser.cdp.send("Target.closeTarget", { targetId: tab.targetId });
}

/** A loop without end on the host's thread; in the middle of a computation where it is held in one. */
async function hang({ browser, hostId, phase }: Target): Promise<() => Promise<unknown>> {
  const frame = await browser.attach(({ url }) => url.includes(`host-frame.html?host=${hostId}`));
  // Nobody answers these: the frame's process is thrown away under them.
  const loop = (method: string, params: object): void => {
    void frame.send(method, { ...params, expression: "for (;;);" }).catch(() => {});
  };
  if (phase !== "compute") return async () => loop("Runtime.evaluate", {});
  await frame.send("Debugger.enable");
  return async () => {
    const paused = new Promise<string>((resolve) => {
      const off = browser.cdp.on("Debugger.paused", ({ callFrames }, sessionId) => {
        if (sessionId !== frame.sessionId) return;
        off();
        resolve(callFrames[0].callFrameId);
      });
    });
    await frame.send("Debugger.pause");
    loop("Debugger.evaluateOnCallFrame", { callFrameId: await paused });
  };
}
