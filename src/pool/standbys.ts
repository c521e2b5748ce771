import { SHARD_LOAD_DEADLINE_MS } from "../base/limits.ts";
import type { Lease } from "../protocol/pool.ts";
import type { SessionRecord, SpareRecord, StandbyFor } from "../state/pool-state.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { decideStandbys, isStandbyOf } from "./standby-decision.ts";

/** Makes standbys of spares: each loads the shard of one stage and follows what is stored of its state. */
export class Standbys {
  constructor(
    private readonly needs: PoolNeeds,
    private readonly hosts: HostManager,
    private readonly spares: { close(hostId: string): Promise<void>; lost(lease: Lease): void },
  ) {}

  tend(): void {
    const { close, assign } = decideStandbys(this.needs.journal.state, this.needs.now());
    for (const hostId of close) void this.spares.close(hostId);
    for (const { spare, session, stage } of assign) this.load(spare, session, stage);
  }

  /** Its shard is there. */
  loaded({ hostId, attempt }: Lease): void {
    const spare = this.find({ hostId, attempt });
    if (spare?.standby !== undefined) this.put({ ...spare, standby: { ...spare.standby, loaded: true } });
  }

  /** The one that can take a stage over at once. */
  of(session: SessionRecord, stage: number): SpareRecord | undefined {
    return Object.values(this.needs.journal.state.spares ?? {}).find(
      (spare) => isStandbyOf(spare, session, stage) && spare.standby?.loaded === true,
    );
  }

  /** `purpose`: it does not wait for a loss. */
  load(
    spare: SpareRecord,
    session: SessionRecord,
    stage: number,
    purpose: Pick<StandbyFor, "isRival" | "moves"> = {},
  ): void {
    const { sessionId, origin } = session;
    const { hostId, attempt } = spare;
    const standby: StandbyFor = { sessionId, stage, origin, loaded: false, ...purpose };
    this.put({ ...spare, standby });
    this.hosts.load(session, stage, { hostId, attempt, bootedAs: attempt, standby: true });
    this.needs.after(SHARD_LOAD_DEADLINE_MS, () => {
      const now = this.find({ hostId, attempt });
      if (now?.standby?.loaded === false) this.spares.lost(now);
    });
  }

  private find({ hostId, attempt }: Lease): SpareRecord | undefined {
    const spare = this.needs.journal.state.spares?.[hostId];
    return spare?.attempt === attempt ? spare : undefined;
  }

  private put(spare: SpareRecord): void {
    this.needs.journal.append({ action: "set_spare", data: spare }).catch(() => undefined);
  }
}
