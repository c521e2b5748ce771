/**
 * The seed of this run's random choices; `HOLDFAST_SEED` replays one. Set before Playwright starts its workers, so all
 * of them draw from the same.
 */
process.env["HOLDFAST_SEED"] ??= String(Math.floor(Math.random() * 2 ** 32));
export const SEED = Number(process.env["HOLDFAST_SEED"]);

/** Numbers in [0, 1) that depend on the seed and on `name` alone, so that a test draws the same when it runs alone. */
export function randomFor(name: string): () => number {
  let state = SEED;
  for (const letter of name) state = Math.imul(state ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  // mulberry32
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from `least` to `most`, both included. */
export function wholeNumber(random: () => number, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1));
}
