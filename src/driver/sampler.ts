/** Index of the largest value; the first of equals, as in every greedy decoder. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) {
    if ((values[index] as number) > (values[best] as number)) best = index;
  }
  return best;
}

/**
 * Draws from softmax(logits / temperature) over the topK largest. The draw depends on seed and position alone, so a
 * generation that is taken up anywhere, by anybody, goes on with the same tokens.
 */
export function sample(
  logits: ArrayLike<number>,
  options: { temperature: number; topK: number; seed: number },
  position: number,
): number {
  if (options.temperature === 0) return argmax(logits);
  const order = Array.from({ length: logits.length }, (_, index) => index);
  order.sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
  const kept = options.topK > 0 ? order.slice(0, options.topK) : order;
  const top = logits[kept[0] as number] as number;
  const weights = kept.map((index) => Math.exp(((logits[index] as number) - top) / options.temperature));
  let left = uniform(options.seed, position) * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [rank, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return kept[rank] as number;
  }
  return kept.at(-1) as number;
}

/** A number in [0, 1) from seed and position: two rounds of a 32-bit mixer (lowbias32, C. Wellons 2018). */
export function uniform(seed: number, position: number): number {
  return mix(mix(seed >>> 0) ^ (position >>> 0)) / 2 ** 32;
}

function mix(value: number): number {
  let x = (value + 0x9e3779b9) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
}
