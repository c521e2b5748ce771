import { HoldfastError } from "../base/errors.ts";
import { TOKENS_JOURNAL_MS, TOKENS_JOURNAL_TOGETHER } from "../base/limits.ts";
import type { Platform } from "../base/platform.ts";
import type { GenerationHead, GenerationRequest, KnownGeneration } from "../protocol/client.ts";
import type { TokensEntry } from "../protocol/pool.ts";

export interface TokenJournalNeeds extends Pick<Platform, "after"> {
  /** Resolves once the entry is in storage; rejects when it never will be. */
  save(entry: Omit<TokensEntry, "durableRun">): Promise<unknown>;
  /** More of it is in storage than before. */
  saved(): void;
}

interface Entry {
  head: GenerationHead;
  readonly promptIds: readonly number[];
  readonly ids: number[];
  /** Of these, what is in storage. */
  savedIds: number;
  /** Null: not even its beginning is. */
  savedHead: GenerationHead | null;
  /** The limit before it began: until the journal knows of it, the journal takes the one before it for the last. */
  readonly limitBefore: number;
}

/**
 * The generation under way, on its way to the journal: its request at once, its ids in groups. The ids are the feeds of later
 * runs, so no state is durable that was made from ids, or chose an id, which the journal does not have.
 */
export class TokenJournal {
  private entry: Entry | null = null;
  private writing = false;
  private cancel: (() => void) | null = null;

  constructor(private readonly needs: TokenJournalNeeds) {}

  /** The last run that may be durable, as far as ids go. */
  get limit(): number {
    const { entry } = this;
    if (entry === null || entry.savedHead?.runs != null) return Number.POSITIVE_INFINITY;
    const first = entry.head.base - 1;
    return entry.savedHead === null ? Math.min(first, entry.limitBefore) : first + entry.savedIds;
  }

  /** What is stored already, of a session that is taken up. */
  isKnown({ head, promptIds, ids }: KnownGeneration): void {
    this.entry = { head, promptIds, ids: [...ids], savedIds: ids.length, savedHead: head, limitBefore: -1 };
  }

  begin(base: number, request: GenerationRequest, promptIds: readonly number[], known: readonly number[]): void {
    const { maxNewTokens, temperature, topK, seed, stopIds } = request;
    const head = { base, maxNewTokens, temperature, topK, seed, stopIds, runs: null };
    this.entry = { head, promptIds, ids: [...known], savedIds: 0, savedHead: null, limitBefore: this.limit };
    this.flush();
  }

  add(id: number): void {
    const { entry } = this;
    if (entry === null) return;
    entry.ids.push(id);
    if (entry.ids.length - entry.savedIds >= TOKENS_JOURNAL_TOGETHER) this.flush();
    else this.cancel ??= this.needs.after(TOKENS_JOURNAL_MS, () => this.flush());
  }

  end(runs: number): void {
    if (this.entry === null) return;
    this.entry.head = { ...this.entry.head, runs };
    this.flush();
  }

  /** The page makes this run itself, instead of going on with a generation that has not ended. */
  leaveBefore(run: number): void {
    if (this.entry !== null && this.entry.head.runs === null) this.end(run - this.entry.head.base);
  }

  flush(): void {
    this.cancel?.();
    this.cancel = null;
    if (!this.writing) void this.write();
  }

  private async write(): Promise<void> {
    this.writing = true;
    try {
      for (let { entry } = this; entry !== null && isBehind(entry); { entry } = this) {
        const { head, promptIds, ids, savedHead } = entry;
        const base = savedHead === null ? 0 : entry.savedIds;
        const last = ids.length;
        const first = savedHead === null ? promptIds : null;
        await this.needs.save({ base, promptIds: first, ids: ids.slice(base, last), generation: head });
        entry.savedIds = last;
        entry.savedHead = head;
        this.needs.saved();
      }
    } catch (error) {
      // A full disk may be cleared. Whatever else it is, it ends the session by another way.
      if (error instanceof HoldfastError && error.code === "QUOTA_EXCEEDED")
        this.cancel ??= this.needs.after(TOKENS_JOURNAL_MS, () => this.flush());
    } finally {
      this.writing = false;
    }
  }
}

function isBehind({ head, ids, savedIds, savedHead }: Entry): boolean {
  return savedHead !== head || savedIds < ids.length;
}
