import type { CheckpointRecord, RunSample } from "../protocol/host.ts";
import type { CheckpointKey } from "../state/checkpoint-codec.ts";

export interface WarmStores {
  /** Digests of a stage's stored records, by run. */
  checkpointDigests(key: CheckpointKey): Promise<ReadonlyMap<number, string>>;
  /** One record, verified by its digest; null: it is missing or damaged. */
  checkpoint(key: CheckpointKey, run: number): Promise<{ record: CheckpointRecord; digest: string } | null>;
  /** Calls back whenever a stage's records change, with a run to practise if there is one, until what it returns is called. */
  followCheckpoints(key: CheckpointKey, changed: (sample?: RunSample) => void): () => void;
}

export interface WarmFrame {
  warm(record: CheckpointRecord): void;
  practise(sample: RunSample): void;
  cool(runs: readonly number[]): void;
}

/**
 * A standby's copy of its stage's stored state: each record goes to its frame as it is made, so that a failover reads
 * nothing. What it has is compared with storage by digest, also before it is used: a record that was given up and made
 * anew has another digest.
 */
export class WarmState {
  private readonly given = new Map<number, { readonly digest: string; readonly previous: number | null }>();
  private readonly unfollow: () => void;
  private turn: Promise<unknown> = Promise.resolve();
  private isDue = false;
  /** It practises once. */
  private sample: RunSample | null = null;
  private hasPractised = false;

  constructor(
    private readonly stores: WarmStores,
    private readonly key: CheckpointKey,
    private readonly frame: WarmFrame,
  ) {
    this.unfollow = stores.followCheckpoints(key, (sample) => {
      this.sample = sample ?? this.sample;
      this.changed();
    });
    this.changed();
  }

  stop(): void {
    this.unfollow();
  }

  /** Whether the frame has, byte for byte, the records that lead to the state after `run`. */
  async leadsTo(run: number): Promise<boolean> {
    await this.inTurn(() => this.catchUp());
    return this.hasAllOf(run);
  }

  private hasAllOf(run: number): boolean {
    for (let at: number | null = run; at !== null; ) {
      const record = this.given.get(at);
      if (record === undefined || (record.previous !== null && record.previous >= at)) return false;
      at = record.previous;
    }
    return true;
  }

  /** Changes that come while one is looked at are looked at together. */
  private changed(): void {
    if (this.isDue) return;
    this.isDue = true;
    void this.inTurn(() => {
      this.isDue = false;
      return this.catchUp();
    }).catch(() => undefined);
  }

  private async catchUp(): Promise<void> {
    const stored = await this.stores.checkpointDigests(this.key);
    const gone = [...this.given].filter(([run, { digest }]) => stored.get(run) !== digest).map(([run]) => run);
    for (const run of gone) this.given.delete(run);
    if (gone.length > 0) this.frame.cool(gone);
    for (const run of [...stored.keys()].sort((a, b) => a - b)) {
      if (this.given.has(run)) continue;
      const found = await this.stores.checkpoint(this.key, run);
      if (found === null) continue;
      this.frame.warm(found.record);
      this.given.set(run, { digest: found.digest, previous: found.record.previous });
    }
    this.practise();
  }

  private practise(): void {
    const { sample } = this;
    this.sample = null;
    if (sample === null || this.hasPractised || !this.hasAllOf(sample.after)) return;
    this.hasPractised = true;
    this.frame.practise(sample);
  }

  private inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = this.turn.then(step);
    this.turn = done.catch(() => undefined);
    return done;
  }
}
