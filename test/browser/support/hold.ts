/** Stops a host of the test build in a chosen phase of a chosen run, so that a fault can be aimed. */
import { until } from "../../../src/demo/launch/wait.mjs";
import type { HoldPhase } from "../../../src/protocol/host.ts";
import type { Browser, Page } from "../harness/fixtures.ts";

/** A page may need long to come to the run, on a machine that others use as well. */
const REACH_TIMEOUT_MS = 60_000;

declare global {
  var holdfastHooks: {
    readonly held: readonly { readonly held: HoldPhase; readonly hostId: string }[];
    hold(hostId: string, hold: { readonly phase: HoldPhase; readonly run: number } | null): void;
  };
}

export class HeldHost {
  private constructor(
    readonly hostId: string,
    private readonly tab: Page,
    private readonly heldBefore: number,
  ) {}

  /** Arms the hold; the host goes on until it comes to that phase of that run (or the first one after it). */
  static async arm(browser: Browser, hostId: string, phase: HoldPhase, run: number): Promise<HeldHost> {
    const tab = await browser.attach(({ url }) => url.includes(`host-tab.html?host=${hostId}`));
    const heldBefore = await tab.evaluate(
      (id, hold) => {
        holdfastHooks.hold(id, hold);
        return holdfastHooks.held.length;
      },
      hostId,
      { phase, run },
    );
    return new HeldHost(hostId, tab, heldBefore);
  }

  /** Resolves when the host stands there. */
  async reached(): Promise<void> {
    await until(
      `host ${this.hostId} to be held`,
      () => this.tab.evaluate((before) => holdfastHooks.held.length > before, this.heldBefore),
      {
        timeoutMs: REACH_TIMEOUT_MS,
        everyMs: 5,
      },
    );
  }

  /** Lets the host go on; `lost`: its tab has died with the fault, and there is nobody to let go. */
  async release({ lost = false } = {}): Promise<void> {
    if (!lost) await this.tab.evaluate((id) => holdfastHooks.hold(id, null), this.hostId);
    await this.tab.detach();
  }
}
