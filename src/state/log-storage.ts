import type { LogHead, LogRecord, LogSnapshot } from "./log-record.ts";

/** One step of a write. Ranges include both ends. */
export type LogWrite =
  | { readonly put: "record"; readonly record: LogRecord }
  | { readonly put: "snapshot"; readonly snapshot: LogSnapshot }
  | { readonly put: "head"; readonly head: LogHead }
  | LogDrop;
export type LogDrop =
  | { readonly drop: "records"; readonly from: number; readonly to: number }
  | { readonly drop: "snapshot"; readonly sequence: number };

export interface LogPoints {
  readonly head: LogHead | null;
  /** In ascending order. */
  readonly snapshots: readonly LogSnapshot[];
  /** The number of the oldest record; null: there is none. */
  readonly first: number | null;
}

/** Where a transaction log lies. Anything in it may be damaged: whoever reads checks. */
export interface LogStorage {
  readPoints(): Promise<LogPoints>;
  /** The records with a number above `after`, in ascending order: all of them, or so many. */
  readRecords(after: number, countMax?: number): Promise<readonly LogRecord[]>;
  /** All steps, in their order, or none. */
  write(steps: readonly LogWrite[]): Promise<void>;
}

/** A log that lives no longer than its owner. */
export class MemoryLogStorage implements LogStorage {
  private head: LogHead | null = null;
  private readonly records = new Map<number, LogRecord>();
  private readonly snapshots = new Map<number, LogSnapshot>();

  async readPoints() {
    const snapshots = [...this.snapshots.values()].sort((a, b) => a.sequence - b.sequence);
    const first = this.records.size === 0 ? null : Math.min(...this.records.keys());
    return { head: this.head, snapshots, first };
  }

  async readRecords(after: number, countMax?: number) {
    return [...this.records.values()]
      .filter(({ sequence }) => sequence > after)
      .sort((a, b) => a.sequence - b.sequence)
      .slice(0, countMax);
  }

  async write(steps: readonly LogWrite[]) {
    for (const step of steps) this.apply(step);
  }

  protected apply(step: LogWrite): void {
    if ("put" in step) {
      if (step.put === "record") this.records.set(step.record.sequence, step.record);
      else if (step.put === "snapshot") this.snapshots.set(step.snapshot.sequence, step.snapshot);
      else this.head = step.head;
    } else if (step.drop === "snapshot") this.snapshots.delete(step.sequence);
    else {
      for (const sequence of this.records.keys())
        if (sequence >= step.from && sequence <= step.to) this.records.delete(sequence);
    }
  }
}
