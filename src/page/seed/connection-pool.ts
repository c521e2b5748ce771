import { HoldfastError, messageOf } from "../../base/errors.ts";
import { FAILURE_CHARS_MAX, RECOVERY_LOOK_MS, RECOVERY_WAIT_MS } from "../../base/limits.ts";
import type { PerformanceHistoryTracker } from "../../history/tracker.ts";
import type { FailedHost, OriginBrowser, OriginStatus } from "../../protocol/origin.ts";
import { Browser } from "./browser.ts";
import type { PoolBridge } from "./pool-bridge.ts";
import type { PooledModel } from "./pooled-model.ts";

/** A stage that is carried again. */
export interface Recovered extends FailedHost {
  readonly browser: OriginBrowser;
}

/** The hosts of this page's site, as the seed's browsers. Other sites' hosts are as unknown as ones that never were. */
export class ConnectionPool {
  constructor(private readonly bridge: PoolBridge) {}

  get performanceTracker(): PerformanceHistoryTracker {
    return this.bridge.performanceTracker;
  }

  /** @throws HoldfastError BAD_OPTIONS when the site has no such host (any more). */
  async getBrowser(browserId: string): Promise<Browser> {
    const found = (await this.getBrowsers()).find((browser) => browser.browserId === browserId);
    if (found !== undefined) return found;
    throw new HoldfastError("BAD_OPTIONS", "This site has no such browser; it may have been replaced already.");
  }

  async getBrowsers(): Promise<Browser[]> {
    const { browsers } = await this.status();
    return browsers.map((browser) => new Browser(browser, this));
  }

  status(): Promise<OriginStatus> {
    return this.bridge.needs.status();
  }

  /** The model as this page's pool has it, opened unless it is open. */
  getModel(name: string): Promise<PooledModel> {
    return this.bridge.getModel("", name);
  }

  /** The pool behind it, for the seed's classes that open models of their own. */
  get pool(): PoolBridge {
    return this.bridge;
  }

  /**
   * Has a host recovered that failed by the page's word, and waits until its stage is carried again. A recovery that is under
   * way already, and a host that was replaced, are left at that. Throws BAD_OPTIONS for hosts that are not the site's, RECOVERY_FAILED.
   */
  async recover(browserId: string, error: unknown): Promise<Recovered> {
    const failed = await this.fail(browserId, error);
    const { platform } = this.bridge.needs;
    for (const since = platform.now(); platform.now() - since < RECOVERY_WAIT_MS; ) {
      const { sessions, browsers } = await this.status();
      const session = sessions.find(({ sessionId }) => sessionId === failed.sessionId);
      if (session === undefined || session.status !== "live")
        throw new HoldfastError("RECOVERY_FAILED", "Its session ended; open the model again.", { cause: error });
      const stage = session.stages[failed.stage];
      const browser = browsers.find((one) => one.browserId === stage?.hostId);
      if (stage?.phase === "ready" && stage.attempt > failed.attempt && browser !== undefined)
        return { ...failed, browser };
      await new Promise<void>((resolve) => platform.after(RECOVERY_LOOK_MS, resolve));
    }
    throw new HoldfastError("RECOVERY_FAILED", `The host was not back after ${RECOVERY_WAIT_MS / 1000} seconds.`);
  }

  private async fail(browserId: string, error: unknown): Promise<FailedHost> {
    try {
      return await this.bridge.needs.failHost(browserId, messageOf(error).slice(0, FAILURE_CHARS_MAX));
    } catch (refused) {
      // Replaced already: its stage is known from before, and any later attempt will do.
      for (const model of this.bridge.openModels) {
        const known = model.stageOf(browserId);
        if (known !== null) return known;
      }
      throw refused;
    }
  }
}
