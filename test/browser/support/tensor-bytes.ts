/** What a site's hosts say to hold of tensors between runs. */
import type { Page } from "../harness/fixtures.ts";

/** Hosts tell no more often than every 5 s. */
const SETTLED_TIMEOUT_MS = 60_000;
/** More than the distance of two reports: what did not change in it is what there is. */
const STILL_MS = 8_000;

/**
 * Runs the prompt alone, from initial state, until the hosts' reports stand still, and gives the bytes of tensors that they
 * hold then; `underTest` is a decoder with a bound cache.
 */
export function tensorBytesAfter(page: Page, prompt: readonly number[]): Promise<number> {
  return page.evaluateWithin(
    SETTLED_TIMEOUT_MS + STILL_MS,
    async (ids, stillMs, timeoutMs) => {
      const { session } = window.underTest;
      const pool = await window.holdfast.connect();
      const integers = (values: readonly number[]) => ({
        type: "int64",
        dims: [1, values.length],
        data: BigInt64Array.from(values, BigInt),
      });
      const end = performance.now() + timeoutMs;
      let seen = -1;
      let since = performance.now();
      while (performance.now() - since < stillMs && performance.now() < end) {
        await session.run(
          {
            input_ids: integers(ids),
            attention_mask: integers(ids.map(() => 1)),
            position_ids: integers(ids.map((_, at) => at)),
          },
          { reset: true },
        );
        const { tensorBytes } = (await pool.getMetrics()).resources;
        if (tensorBytes !== seen) since = performance.now();
        seen = tensorBytes;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      return seen;
    },
    prompt,
    STILL_MS,
    SETTLED_TIMEOUT_MS,
  );
}
