/**
 * Hosts for models that are used together: each gets one, and the next always goes to the one whose hosts would hold most. No
 * other division has a smaller largest part.
 * @param weights bytes of each model @param total hosts, at least one a model
 */
export function shareOut(weights: readonly number[], total: number): number[] {
  const shares = weights.map(() => 1);
  for (let given = weights.length; given < total; given++) {
    const parts = weights.map((weight, at) => weight / (shares[at] ?? 1));
    const heaviest = parts.indexOf(Math.max(...parts));
    shares[heaviest] = (shares[heaviest] ?? 0) + 1;
  }
  return shares;
}
