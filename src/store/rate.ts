/** Bytes a second over the last few seconds. Time is an argument; milliseconds. */
export class RateMeter {
  private readonly samples: { readonly at: number; readonly bytes: number }[] = [];

  constructor(private readonly windowMs = 3_000) {}

  /** Takes the bytes loaded so far and returns the rate, or null while there is nothing to compare with. */
  add(bytes: number, now: number): number | null {
    this.samples.push({ at: now, bytes });
    while (this.samples.length > 2 && now - (this.samples[1]?.at ?? now) >= this.windowMs) this.samples.shift();
    const first = this.samples[0];
    if (first === undefined || now <= first.at || bytes < first.bytes) return null;
    return Math.round(((bytes - first.bytes) * 1000) / (now - first.at));
  }
}
