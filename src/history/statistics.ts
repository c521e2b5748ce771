/** Null for no values. */
export function meanOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Null for no values. */
export function medianOf(values: readonly number[]): number | null {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) return null;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/**
 * Slope of values at equal steps: the median of the slopes of all pairs (Theil 1950, Sen 1968). Outliers up to 29 % do not
 * move it. 0 for fewer than two values.
 */
export function theilSenSlope(values: readonly number[]): number {
  const slopes: number[] = [];
  for (const [j, later] of values.entries())
    for (const [i, earlier] of values.slice(0, j).entries()) slopes.push((later - earlier) / (j - i));
  return medianOf(slopes) ?? 0;
}

/**
 * How probable so clear a rise or fall is without any trend: the Mann–Kendall test, two-sided, by the normal approximation
 * with the correction for ties (Mann 1945, Kendall 1975). 1 where all values are equal. Good from ten values on.
 */
export function mannKendallP(values: readonly number[]): number {
  const n = values.length;
  let s = 0;
  for (const [j, later] of values.entries()) for (const earlier of values.slice(0, j)) s += Math.sign(later - earlier);
  const ties = new Map<number, number>();
  for (const value of values) ties.set(value, (ties.get(value) ?? 0) + 1);
  const spread = (count: number): number => count * (count - 1) * (2 * count + 5);
  const variance = (spread(n) - [...ties.values()].reduce((sum, count) => sum + spread(count), 0)) / 18;
  if (variance <= 0 || s === 0) return 1;
  // S moves in steps: half a step of two is what a continuous curve would misjudge.
  const z = (Math.abs(s) - 1) / Math.sqrt(variance);
  return complementaryError(z / Math.SQRT2);
}

/** erfc(x) for x ≥ 0, to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
function complementaryError(x: number): number {
  const t = 1 / (1 + 0.3275911 * x);
  const polynomial = 0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)));
  return t * polynomial * Math.exp(-x * x);
}
