import { HoldfastError } from "../base/errors.ts";
import type { DriverPeer } from "./bridge-connection.ts";

/** A session's driver, in the bridge that lives now. */
export class Attachment {
  /** It knows the session; false from the loss of a bridge until the next one has taken the session up. */
  isAttached = true;
  private readonly waiters: (() => void)[] = [];

  constructor(public peer: DriverPeer) {}

  /** A driver has taken the session up, or the session has ended. */
  changed(): void {
    for (const wake of this.waiters.splice(0)) wake();
  }

  /** Asks the driver, and the next one if it dies before it has answered. `ended`: why the session has ended. */
  async ask<T>(call: (peer: DriverPeer) => Promise<T>, ended: () => HoldfastError | null): Promise<T> {
    for (;;) {
      const reason = ended();
      if (reason !== null) throw reason;
      const { peer } = this;
      try {
        return await call(peer);
      } catch (error) {
        if (!peer.isClosed) throw error;
        while (ended() === null && (this.peer === peer || !this.isAttached))
          await new Promise<void>((resolve) => this.waiters.push(resolve));
      }
    }
  }

  async release(sessionId: string): Promise<void> {
    // With the bridge gone nobody hears it: a bridge that is taking the session up says it, else its grace ends.
    if (!this.isAttached) return;
    try {
      await this.peer.call("release", { sessionId });
    } catch (error) {
      if (!(error instanceof HoldfastError && error.code === "EXTENSION_DISCONNECTED")) throw error;
    }
  }
}
