/** Runs, both included. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * Of a session whose replicas vote: which of what they have stored counts for nothing. A host that was outvoted may have
 * stored its lie; one that was away while the others were put back has stored what they did anew. Outlives the wirings.
 */
export class Doubts {
  private readonly spans = new Map<number, Span>();

  /** A host said something else of this run than the others: from there on. */
  outvoted(host: number, run: number): void {
    this.from(host, run);
  }

  /** These are put back to the state after `run`, by what most have stored; those are not there. */
  putBack(present: readonly number[], absent: readonly number[], run: number): void {
    for (const host of absent) this.from(host, run + 1);
    for (const host of present) {
      const span = this.spans.get(host);
      // That state itself was made right; what comes after it is new.
      if (span !== undefined) this.spans.set(host, { ...span, to: Math.min(span.to, run - 1) });
    }
  }

  /** Of the runs that a host has stored, those that count. */
  without(host: number, stored: readonly number[]): readonly number[] {
    const span = this.spans.get(host);
    return span === undefined ? stored : stored.filter((run) => run < span.from || run > span.to);
  }

  private from(host: number, run: number): void {
    const from = Math.min(run, this.spans.get(host)?.from ?? run);
    this.spans.set(host, { from, to: Number.POSITIVE_INFINITY });
  }
}
