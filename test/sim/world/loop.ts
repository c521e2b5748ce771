import { setFlagsFromString } from "node:v8";
import { runInThisContext } from "node:vm";

// Runs every promise reaction that is due, at once: what makes the simulated event loop synchronous, and so the same
// each time. Works outside of promise reactions only.
setFlagsFromString("--allow-natives-syntax");
const drain = runInThisContext("(() => { %PerformMicrotaskCheckpoint(); })") as () => void;

interface Entry {
  readonly at: number;
  readonly order: number;
  action: (() => void) | null;
}

/** Simulated time: what is due happens in its order, and the promises that it settles before anything else. */
export class Loop {
  /** Milliseconds of the clock that never goes back. */
  now = 0;
  /** What the wall clock shows beyond that: a sleep, or somebody who sets it. */
  wallOffset = 1_700_000_000_000;
  events = 0;
  /** A digest of what happened when: two plays of one history have the same. */
  trace = 0;
  private order = 0;
  private readonly heap: Entry[] = [];

  /** Does it after so many milliseconds, unless what is returned is called before. */
  after(ms: number, action: () => void): () => void {
    const entry: Entry = { at: this.now + Math.max(0, ms), order: ++this.order, action };
    this.push(entry);
    return () => {
      entry.action = null;
    };
  }

  /** The machine sleeps: nothing runs, and time passes. */
  sleep(ms: number): void {
    this.now += ms;
  }

  /** False: nothing is left to do, or nothing before `until`. */
  step(until = Number.POSITIVE_INFINITY): boolean {
    for (;;) {
      const next = this.heap[0];
      if (next === undefined || next.at > until) return false;
      this.pop();
      if (next.action === null) continue;
      this.now = Math.max(this.now, next.at);
      this.events++;
      this.trace = (Math.imul(this.trace ^ next.order, 0x01000193) ^ (this.now * 1000)) | 0;
      next.action();
      drain();
      return true;
    }
  }

  /** When each of what is left to do is due. */
  get pending(): readonly number[] {
    return this.heap.filter(({ action }) => action !== null).map(({ at }) => at);
  }

  private push(entry: Entry): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, heap[parent] as Entry)) break;
      heap[at] = heap[parent] as Entry;
      at = parent;
    }
    heap[at] = entry;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!isBefore(heap[child] as Entry, last)) break;
      heap[at] = heap[child] as Entry;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
