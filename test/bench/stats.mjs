/** Medians and percentiles of samples, with a bootstrap interval; nothing is averaged over outliers. */

/** @param {readonly number[]} samples @param {number} share 0 … 1 */
export function percentile(samples, share) {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? low;
  return low + (high - low) * (at - Math.floor(at));
}

/** @param {readonly number[]} samples */
export const median = (samples) => percentile(samples, 0.5);

const RESAMPLES = 1_000;

/**
 * The 95 % interval of a statistic by resampling each group on its own.
 *
 * @param {readonly (readonly number[])[]} groups @param {(groups: number[][]) => number} statistic
 * @returns {[number, number]}
 */
export function interval(groups, statistic) {
  let state = 1;
  // A fixed generator (Lehmer): the same samples give the same interval.
  const next = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const values = Array.from({ length: RESAMPLES }, () =>
    statistic(groups.map((group) => group.map(() => group[Math.floor(next() * group.length)] ?? Number.NaN))),
  );
  return [round(percentile(values, 0.025)), round(percentile(values, 0.975))];
}

/** @param {number} value */
export const round = (value) => Number(value.toPrecision(4));

/** @typedef {{ value: number, unit: string, baseline: number | null, n: number, ci: [number, number], note?: string }} Result */

/** @param {number} value @param {string} unit @param {number | null} baseline @param {number} n @param {[number, number]} ci @param {string} [note] @returns {Result} */
export function result(value, unit, baseline, n, ci, note) {
  return {
    value: round(value),
    unit,
    baseline: baseline === null ? null : round(baseline),
    n,
    ci,
    ...(note === undefined ? {} : { note }),
  };
}
