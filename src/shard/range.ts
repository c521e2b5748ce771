/** Sums of the values before each index; one longer than the values. */
export function sumsBefore(values: ArrayLike<number>): Float64Array {
  const sums = new Float64Array(values.length + 1);
  for (let i = 0; i < values.length; i++) sums[i + 1] = (sums[i] ?? 0) + (values[i] ?? 0);
  return sums;
}

/** The largest of values[from … to - 1], 0 for none: a sparse table, built once, asked in constant time. */
export function rangeMax(values: readonly number[]): (from: number, to: number) => number {
  const levels: Float64Array[] = [Float64Array.from(values)];
  for (let width = 1; width * 2 <= values.length; width *= 2) {
    const below = levels.at(-1) ?? new Float64Array(0);
    levels.push(below.map((value, i) => Math.max(value, below[i + width] ?? value)));
  }
  return (from, to) => {
    if (to <= from) return 0;
    const level = Math.floor(Math.log2(to - from));
    const row = levels[Math.min(level, levels.length - 1)];
    return Math.max(row?.[from] ?? 0, row?.[Math.max(from, to - 2 ** level)] ?? 0);
  };
}
