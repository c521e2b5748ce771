import { type ErrorData, toErrorData } from "../base/errors.ts";
import { SPOT_CHECK_MS } from "../base/limits.ts";
import type { Platform } from "../base/platform.ts";
import { agree, type Reply } from "../fault/vote.ts";
import type {
  FeedMessage,
  Pace,
  RestoreFrom,
  RunHead,
  StageCalls,
  StageMessage,
  StageStatus,
} from "../protocol/stage.ts";
import { type GroupEvents, type Replica, replyOf, splitError, withoutRows } from "./stage-group.ts";
import type { StageLink } from "./wiring.ts";

/** What is known of a session's spot checks; outlives the wirings. */
export class SpotChecks {
  /** By stage and run, what the first of two that disagreed had said. */
  readonly disputes = new Map<string, Reply>();

  private readonly seed: number;

  constructor(
    /** Of all runs, 0 to 1. */
    private readonly share: number,
    /** Of the session: whoever drives it chooses the same runs. */
    name: string,
    /** What a run starts from is stored; without state it starts from nothing. */
    readonly stateful: boolean,
  ) {
    let seed = 0x811c9dc5;
    for (let at = 0; at < name.length; at++) seed = Math.imul(seed ^ name.charCodeAt(at), 0x01000193);
    this.seed = seed;
  }

  /** Whether this run is checked: by chance, and the same whenever it is asked. */
  has(run: number): boolean {
    if (run < 0) return false;
    let hash = Math.imul(run + 1, 0x9e3779b1) ^ this.seed;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32 < this.share;
  }
}

/**
 * A stage and the host that checks it, which look like one stage to the driver. A run that is to be checked is done by the
 * checker as well, from the state that the stage stored before it, and goes on once both agree. Where they do not, either
 * may be wrong: the stage's host is replaced, all is put back to before the run, and the next host's answer decides. A check
 * that cannot be made in its time (the checker is gone, the state was not stored) is left out.
 */
export class CheckedStage implements StageLink {
  private readonly replies = new Map<number, StageMessage>();
  private readonly inputs = new Map<number, FeedMessage | StageMessage>();
  private readonly stored = new Set<number>();
  private readonly checked = new Set<number>();
  private due: number | null = null;
  private checking: number | null = null;
  private isOver = false;
  /** Such runs are no durable points: those after them have nothing stored to start from. */
  private readonly failed = new Set<number>();
  /** Where the stage was put back to. */
  private base: { readonly run: number; readonly from: RestoreFrom } | null = null;
  private answered: ((reply: StageMessage) => void) | null = null;
  private isStored: (() => void) | null = null;

  constructor(
    private readonly stage: number,
    private readonly own: Replica,
    private readonly checker: Replica | null,
    private readonly checks: SpotChecks,
    private readonly events: GroupEvents,
    private readonly platform: Pick<Platform, "after">,
    private readonly ports: readonly MessagePort[] = [],
  ) {
    for (const replica of this.replicas) {
      replica.output.onmessage = ({ data }: MessageEvent<StageMessage>) => this.replied(replica, data);
      replica.output.start();
    }
  }

  get isThere(): boolean {
    return !this.own.isOut;
  }

  get replicas(): readonly Replica[] {
    return this.checker === null ? [this.own] : [this.own, this.checker];
  }

  take(message: FeedMessage | StageMessage): void {
    this.own.input.postMessage(this.noted(message));
  }

  feed(message: StageMessage): void {
    this.own.link.feed(this.noted(message));
  }

  /** The state that a check starts from is stored. */
  private noted<M extends FeedMessage | StageMessage>(message: M): M {
    const { run } = message.head;
    if (this.isDue(message.head)) this.inputs.set(run, message);
    return this.checks.has(run + 1) ? { ...message, head: { ...message.head, checkpoint: true } } : message;
  }

  private isDue({ run, lineage }: RunHead): boolean {
    // What handles keep is in no state of the run before.
    return this.checker?.isOut === false && this.checks.has(run) && lineage === undefined;
  }

  replied(replica: Replica, message: StageMessage): void {
    if (this.isOver) return;
    const { run } = message.head;
    if (replica !== this.own) {
      if (run === this.checking) this.answered?.(message);
      return;
    }
    if ("error" in message) this.failed.add(run);
    if (this.due === null || run < this.due || this.replies.has(run)) return;
    this.replies.set(run, message);
    this.goOn();
  }

  private goOn(): void {
    while (this.due !== null && !this.isOver) {
      const run = this.due;
      const message = this.replies.get(run);
      if (message === undefined) return;
      if (this.inputs.has(run) && !this.checked.has(run)) {
        if (this.checking === null) void this.check(run, message);
        return;
      }
      for (const map of [this.replies, this.inputs]) map.delete(run);
      this.checked.delete(run);
      // The next check starts from this run at the earliest.
      this.stored.delete(run - 1);
      this.failed.delete(run - 1);
      this.due++;
      this.events.decided(withoutRows(message));
    }
  }

  private async check(run: number, message: StageMessage): Promise<void> {
    this.checking = run;
    let cancel = (): void => undefined;
    const late = new Promise<null>((resolve) => {
      cancel = this.platform.after(SPOT_CHECK_MS, () => resolve(null));
    });
    const second = await Promise.race([this.doAgain(run, message.head).catch(() => null), late]);
    cancel();
    if (this.isOver || this.checking !== run) return;
    this.checking = null;
    this.checked.add(run);
    if (second !== null) this.compare(run, message, second);
    this.goOn();
  }

  private async doAgain(run: number, head: RunHead): Promise<StageMessage | null> {
    const { checker, inputs, checks } = this;
    const input = inputs.get(run);
    if (checker === null || input === undefined) return null;
    const isInitial = head.reset || !checks.stateful || (this.base?.run === run - 1 && this.base.from === "initial");
    if (!isInitial && this.failed.has(run - 1)) return null;
    if (!isInitial) await this.storedOf(run - 1);
    const from = isInitial ? "initial" : "records";
    // What is stored is the stage's: its checker deletes nothing.
    const back = { run: run - 1, from, answered: -1, durable: Number.MAX_SAFE_INTEGER } as const;
    if ((await checker.link.restore(back)) === null) return null;
    checker.link.resend(run);
    return new Promise((resolve) => {
      this.answered = resolve;
      checker.input.postMessage(input);
    });
  }

  private storedOf(run: number): Promise<void> {
    if (this.stored.has(run)) return Promise.resolve();
    return new Promise((resolve) => {
      this.isStored = () => this.stored.has(run) && resolve();
    });
  }

  private compare(run: number, message: StageMessage, second: StageMessage): void {
    const { disputes } = this.checks;
    const key = `${this.stage} ${run}`;
    const reply = replyOf(this.own.host, message);
    const first = disputes.get(key);
    disputes.delete(key);
    const checker = this.checker as Replica;
    if (agree(reply, replyOf(checker.host, second))) return;
    if (first !== undefined && agree(reply, first)) {
      // Two hosts of the stage say the same: it is the checker that was wrong.
      checker.isOut = true;
      this.events.outvoted(checker.host, run);
      return;
    }
    this.isOver = true;
    if (first === undefined) {
      disputes.set(key, reply);
      this.events.outvoted(this.own.host, run);
    } else this.events.decided({ head: message.head, error: toErrorData(splitError(run, 3)) });
  }

  storedAt(replica: Replica, run: number): void {
    if (replica !== this.own) return;
    this.noteStored(run);
    this.events.stored(run);
  }

  storeFailedAt(replica: Replica, run: number, error: ErrorData): void {
    if (replica === this.own) this.events.storeFailed(run, error);
  }

  private noteStored(run: number): void {
    this.stored.add(run);
    this.isStored?.();
  }

  async sync(epoch: number): Promise<StageStatus | null> {
    const [status, other] = await Promise.all([this.own.link.sync(epoch), this.checker?.link.sync(epoch) ?? null]);
    if (other === null) this.dropChecker();
    return this.noteStatus(status);
  }
  async store(run: number): Promise<StageStatus | null> {
    return this.own.link.store(run);
  }
  async restore(params: StageCalls["restore"]["params"]): Promise<StageStatus | null> {
    this.base = { run: params.run, from: params.from };
    return this.noteStatus(await this.own.link.restore(params));
  }
  resend(from: number): void {
    this.due = from;
    this.own.link.resend(from);
  }
  pace(pace: Pace): void {
    this.own.link.pace(pace);
  }
  hold(): void {
    this.own.link.hold();
  }
  close(): void {
    this.isOver = true;
    for (const { link, input, output } of this.replicas) {
      link.close();
      input.close();
      output.close();
    }
    for (const port of this.ports) port.close();
  }

  private noteStatus(status: StageStatus | null): StageStatus | null {
    for (const run of status?.stored ?? []) this.noteStored(run);
    return status;
  }

  private dropChecker(): void {
    if (this.checker === null || this.checker.isOut) return;
    this.checker.isOut = true;
    this.events.unreachable(this.checker.host);
  }
}
