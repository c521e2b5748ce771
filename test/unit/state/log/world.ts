import { loadSha256 } from "../../../../src/base/digest.ts";
import { BROWSER_SUBJECT } from "../../../../src/state/browser-log.ts";
import type { LogHead, LogRecord, LogSnapshot } from "../../../../src/state/log-record.ts";
import { type LogStorage, type LogWrite, MemoryLogStorage } from "../../../../src/state/log-storage.ts";
import { TransactionLog } from "../../../../src/state/transaction-log.ts";

export const sha256 = await loadSha256();

/** A clock and ids that give the same in every run. */
export function steadyNeeds() {
  let at = 1_000_000;
  let ids = 0;
  return { sha256, now: () => (at += 10), newId: () => `id-${++ids}` };
}

export function openBrowsers(storage: LogStorage) {
  return TransactionLog.open(BROWSER_SUBJECT, { ...steadyNeeds(), storage });
}

export interface Contents {
  head: LogHead | null;
  records: LogRecord[];
  snapshots: LogSnapshot[];
}

/** A storage whose contents tests may read, change and copy. */
export class OpenStorage extends MemoryLogStorage {
  static of({ head, records, snapshots }: Contents): OpenStorage {
    const storage = new OpenStorage();
    for (const record of records) storage.apply({ put: "record", record });
    for (const snapshot of snapshots) storage.apply({ put: "snapshot", snapshot });
    if (head !== null) storage.apply({ put: "head", head });
    return storage;
  }

  async contents(): Promise<Contents> {
    const { head, snapshots } = await this.readPoints();
    return { head, records: [...(await this.readRecords(0))], snapshots: [...snapshots] };
  }
}

/** The same log after a start that found a reason to write a snapshot: a damaged head. */
export async function withSnapshot(storage: OpenStorage) {
  const { head, ...rest } = await storage.contents();
  const next = OpenStorage.of({ ...rest, head: head && { ...head, digest: "" } });
  return { storage: next, log: await openBrowsers(next) };
}

export type Fault = "throws" | "tears" | "tears a value" | "drops";

/** At one write of many something goes wrong: it throws once; or it is torn after some steps and nothing is written from then on. */
export class FaultyStorage extends OpenStorage {
  writes = 0;
  /** Steps of each write, so that a test can aim at every one of them. */
  readonly sizes: number[] = [];
  private isDead = false;

  constructor(
    private readonly at = -1,
    private readonly fault: Fault = "throws",
    private readonly keptSteps = 0,
  ) {
    super();
  }

  override async write(steps: readonly LogWrite[]) {
    const index = this.writes++;
    this.sizes.push(steps.length);
    if (this.isDead) return;
    if (index !== this.at) return super.write(steps);
    if (this.fault === "throws") throw new Error("the disk is full");
    this.isDead = true;
    if (this.fault === "drops") return;
    for (const step of steps.slice(0, this.keptSteps)) this.apply(step);
    const next = steps[this.keptSteps];
    if (this.fault === "tears a value" && next !== undefined) this.apply(torn(next));
  }
}

function torn(step: LogWrite): LogWrite {
  const half = (text: string): string => text.slice(0, text.length >> 1);
  if ("drop" in step) return step;
  if (step.put === "record") return { ...step, record: { ...step.record, body: half(step.record.body) } };
  if (step.put === "snapshot") return { ...step, snapshot: { ...step.snapshot, body: half(step.snapshot.body) } };
  return { ...step, head: { ...step.head, chain: half(step.head.chain) } };
}
