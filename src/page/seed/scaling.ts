import type { PoolBridge } from "./pool-bridge.ts";
import { resourceBytes } from "./pool-metrics.ts";
import { decideScaling } from "./scaling-decision.ts";

/** Does what is decided about copies of an adaptive pool's models, one thing at a time. */
export class Scaling {
  /** Copies that were opened and given back. */
  grown = 0;
  shrunk = 0;
  lastReason: string | null = null;
  private looking: Promise<void> | null = null;

  constructor(private readonly pool: Pick<PoolBridge, "openModels" | "connections" | "options" | "needs">) {}

  /** Runs wait, or time has passed. */
  look(): Promise<void> {
    this.looking ??= this.act().finally(() => {
      this.looking = null;
    });
    return this.looking;
  }

  /** Some idle copy makes room. False: there is none. */
  async giveBack(): Promise<boolean> {
    for (const model of this.pool.openModels) {
      if (!(await model.shrink())) continue;
      this.shrunk++;
      return true;
    }
    return false;
  }

  private async act(): Promise<void> {
    const { pool } = this;
    if (!pool.options.adaptiveScaling) return;
    for (let again = true; again; ) {
      const status = await pool.needs.status().catch(() => null);
      if (status === null) return;
      const { grow, shrink } = decideScaling({
        models: pool.openModels.map(({ load }) => load),
        connections: pool.connections,
        maxConnections: pool.options.maxConnections,
        usedBytes: status.browsers.reduce(
          (sum, one) => sum + one.stage.weightBytes + resourceBytes(one, "tensors") + resourceBytes(one, "heap"),
          0,
        ),
        deviceBytes: pool.needs.deviceBytes,
        now: pool.needs.platform.now(),
      });
      for (const name of shrink) if (await this.find(name)?.shrink()) this.shrunk++;
      again = grow !== null && ((await this.find(grow.name)?.grow()) ?? false);
      if (!again || grow === null) return;
      this.grown++;
      this.lastReason = grow.reason;
    }
  }

  private find(name: string) {
    return this.pool.openModels.find(({ modelName }) => modelName === name);
  }
}
