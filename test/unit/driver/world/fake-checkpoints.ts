import { HoldfastError } from "../../../../src/base/errors.ts";
import type { KeeperStores } from "../../../../src/host/keeper.ts";
import type { CheckpointRecord } from "../../../../src/protocol/host.ts";
import {
  chainTo,
  decodeCheckpoint,
  encodeCheckpoint,
  type StoredCheckpoint,
} from "../../../../src/state/checkpoint-codec.ts";

/** Stored state of all stages, through the real codec; it outlives every host. */
export class FakeCheckpoints {
  private readonly stored = new Map<string, StoredCheckpoint>();

  async write(stage: number, record: CheckpointRecord): Promise<void> {
    const encoded = await encodeCheckpoint(keyOf(stage), record);
    this.stored.set(`${stage} ${record.run}`, encoded);
  }

  /** As a keeper reads them. */
  get stores(): Pick<KeeperStores, "checkpointChain" | "writeCheckpoint"> {
    return {
      checkpointChain: ({ stage }, run) => this.chain(stage, run).catch(() => null),
      writeCheckpoint: async ({ stage }, record) => {
        await this.write(stage, record);
        return 0;
      },
    };
  }

  runs(stage: number): number[] {
    return [...this.stored.values()]
      .filter((entry) => entry.stage === stage)
      .map(({ run }) => run)
      .sort((a, b) => a - b);
  }

  /** Changes what lies in storage for a stage's run, as a failing disk would; null: it is gone. */
  damage(stage: number, run: number, change: (stored: StoredCheckpoint) => StoredCheckpoint | null): void {
    const key = `${stage} ${run}`;
    const stored = this.stored.get(key);
    if (stored === undefined) throw new Error(`nothing is stored under ${key}`);
    const changed = change(structuredClone(stored));
    if (changed === null) this.stored.delete(key);
    else this.stored.set(key, changed);
  }

  forgetAfter(stage: number, after: number): void {
    for (const [key, { stage: of, run }] of this.stored) if (of === stage && run > after) this.stored.delete(key);
  }

  async chain(stage: number, run: number): Promise<CheckpointRecord[]> {
    const records = new Map<number, CheckpointRecord>();
    for (const stored of this.stored.values()) {
      if (stored.stage !== stage) continue;
      const record = await decodeCheckpoint(keyOf(stage), stored);
      if (record !== null) records.set(record.run, record);
    }
    const chain = chainTo(records, run);
    if (chain === null) throw new HoldfastError("STATE_LOST", `no state after run ${run}`);
    return chain;
  }
}

export function keyOf(stage: number) {
  return { sessionId: "session", stage, planId: "plan", weights: "weights" };
}
