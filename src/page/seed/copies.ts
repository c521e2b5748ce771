import type { Session } from "../session.ts";

interface Copy {
  readonly session: Session;
  underway: number;
  /** When it last had something to do. */
  lastUsedMs: number;
}

/** The sessions that serve one model, and the runs that wait for one of them. */
export class Copies {
  private readonly all: Copy[];
  private readonly waiting: ((copy: Copy) => void)[] = [];

  constructor(
    first: Session,
    private readonly needs: {
      /** Runs that one copy takes at once; more would only wait inside it. */
      readonly atOnce: number;
      /** A run waits. */
      queued(): void;
      now(): number;
    },
  ) {
    this.all = [{ session: first, underway: 0, lastUsedMs: needs.now() }];
  }

  get sessions(): readonly Session[] {
    return this.all.map(({ session }) => session);
  }
  get queue(): number {
    return this.waiting.length;
  }
  get isBusy(): boolean {
    return this.queue > 0 || this.all.some(({ underway, session }) => underway > 0 || session.busy);
  }
  /** As `ModelLoad.spareIdleSince`. */
  get spareIdleSince(): readonly (number | null)[] {
    return this.all.slice(1).map((copy) => (isIdle(copy) ? copy.lastUsedMs : null));
  }

  /** Works with the copy that has the least to do, as soon as one has room. In the order of the calls. */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const free = this.free();
    if (free !== undefined) free.underway++;
    // One that is given a turn is counted by whoever gives it, or the next in line would be given the same room.
    const copy = free ?? (await this.turn());
    try {
      return await work(copy.session);
    } finally {
      copy.underway--;
      copy.lastUsedMs = this.needs.now();
      this.goOn();
    }
  }

  add(session: Session): void {
    this.all.push({ session, underway: 0, lastUsedMs: this.needs.now() });
    this.goOn();
  }

  /** Takes out an idle copy, not the first; undefined: there is none. */
  takeIdle(): Session | undefined {
    const at = this.all.findIndex((copy, index) => index > 0 && isIdle(copy));
    return at < 0 ? undefined : this.all.splice(at, 1)[0]?.session;
  }

  private free(): Copy | undefined {
    const [least] = this.all.toSorted((a, b) => a.underway - b.underway);
    return least !== undefined && least.underway < this.needs.atOnce ? least : undefined;
  }

  private turn(): Promise<Copy> {
    const turn = new Promise<Copy>((resolve) => this.waiting.push(resolve));
    this.needs.queued();
    return turn;
  }

  private goOn(): void {
    for (let copy = this.free(); copy !== undefined; copy = this.free()) {
      const next = this.waiting.shift();
      if (next === undefined) return;
      copy.underway++;
      next(copy);
    }
  }
}

function isIdle({ underway, session }: Copy): boolean {
  return underway === 0 && !session.busy;
}
