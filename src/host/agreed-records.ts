import { majorityOf } from "../fault/vote.ts";
import type { CheckpointRecord } from "../protocol/host.ts";
import type { ShardSpec } from "../shard/types.ts";
import type { CheckpointKey } from "../state/checkpoint-codec.ts";
import type { KeeperStores } from "./keeper.ts";
import { Residents } from "./residents.ts";
import { tensorsDigest } from "./rows-digest.ts";

/**
 * What the replicas of one stage have stored, each for itself. A state is used only where most of them stored the same: a
 * host that lied has stored its lie. What this replica has beside that is replaced by a copy of it.
 */
export class AgreedRecords {
  private readonly others: readonly CheckpointKey[];
  private readonly needed: number;

  constructor(
    private readonly stores: Pick<KeeperStores, "checkpointChain" | "writeCheckpoint">,
    private readonly spec: Pick<ShardSpec, "state" | "shapes">,
    private readonly own: CheckpointKey,
    { stages, replicas }: { readonly stages: number; readonly replicas: number },
  ) {
    this.needed = majorityOf(replicas);
    this.others = Array.from({ length: replicas }, (_, index) => ({
      ...own,
      stage: (own.stage % stages) + index * stages,
    })).filter(({ stage }) => stage !== own.stage);
  }

  /** The records that lead to the state after `run`, oldest first; null: most have not stored one and the same. */
  async read(run: number): Promise<readonly CheckpointRecord[] | null> {
    const chains = await Promise.all([this.own, ...this.others].map((key) => this.stores.checkpointChain(key, run)));
    const digests = chains.map((chain) => (chain === null ? null : this.digestOf(chain)));
    const agreed = digests.find(
      (digest) => digest !== null && digests.filter((other) => other === digest).length >= this.needed,
    );
    if (agreed === undefined) return null;
    const chain = chains[digests.indexOf(agreed)] ?? null;
    if (chain !== null && digests[0] !== agreed)
      for (const record of chain) await this.stores.writeCheckpoint(this.own, record, async () => undefined);
    return chain;
  }

  /** Of the state itself: replicas that were put back at different times have cut it into different records. */
  private digestOf(chain: readonly CheckpointRecord[]): string | null {
    const residents = new Residents(this.spec.state, this.spec.shapes);
    try {
      residents.restore(chain);
    } catch {
      return null;
    }
    const kept = chain.at(-1)?.kept ?? [];
    return tensorsDigest([
      ["", residents.inputs()],
      ...kept.map(({ key }) => [key, residents.read(key) ?? {}] as const),
    ]);
  }
}
