import { UPDATE_SETTLE_MS } from "../base/limits.ts";
import type { PoolNeeds } from "./needs.ts";

/** A durable point of every live session, before this extension is replaced by another version of itself. */
export class Settling {
  private readonly waiting = new Map<string, () => void>();

  constructor(private readonly needs: PoolNeeds) {}

  /** Resolves when all have one, or when none came in time: their pages go on with what they keep, others with an older point. */
  async all(): Promise<void> {
    const live = Object.values(this.needs.journal.state.sessions).filter(({ status }) => status === "live");
    const settled = live.map(
      ({ sessionId, bridgeId }) =>
        new Promise<void>((resolve) => {
          this.waiting.set(sessionId, resolve);
          this.needs.toBridge(bridgeId, "settle", { sessionId });
        }),
    );
    const late = new Promise<void>((resolve) => this.needs.after(UPDATE_SETTLE_MS, resolve));
    await Promise.race([Promise.all(settled), late]);
    this.waiting.clear();
  }

  settled(sessionId: string): void {
    this.waiting.get(sessionId)?.();
  }
}

/** A new version is there: all that was done is made to survive before it takes over. */
export async function onUpdate(
  { settling }: { readonly settling: Pick<Settling, "all"> },
  reload: () => void,
): Promise<void> {
  await settling.all();
  reload();
}
