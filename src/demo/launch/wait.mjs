/** @param {number} ms @returns {Promise<void>} */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Asks `probe` again and again until it gives something truthy.
 *
 * @template T
 * @param {string} what completes the sentence "… did not come true within n ms"
 * @param {() => Promise<T | undefined | null | false | 0 | ""> | T | undefined | null | false | 0 | ""} probe
 * @param {{ timeoutMs?: number, everyMs?: number }} [options]
 * @returns {Promise<T>}
 */
export async function until(what, probe, { timeoutMs = 20_000, everyMs = 25 } = {}) {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (performance.now() > end) throw new Error(`${what}: did not come true within ${timeoutMs} ms`);
    await sleep(everyMs);
  }
}

/**
 * Waits for `promise`, but not for ever.
 *
 * @param {Promise<unknown>} promise
 * @param {number} ms
 * @returns {Promise<boolean>} whether it settled in time
 */
export async function settledWithin(promise, ms) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = promise.then(
    () => true,
    () => true,
  );
  const inTime = await Promise.race([settled, late]);
  clearTimeout(timer);
  return inTime === true;
}
