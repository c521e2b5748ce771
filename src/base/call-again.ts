import { HoldfastError } from "./errors.ts";
import { CHECKPOINT_RETRY_MS, POOL_CALL_LONG_MS, POOL_CALL_PAUSES_MS } from "./limits.ts";

export interface CallAgainNeeds {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  sleep(ms: number): Promise<void>;
}

/**
 * Makes a call again each time that the service worker ended before it answered. Throws EXTENSION_DISCONNECTED when
 * that happens again and again: a service worker that cannot start will not answer the next call either. One that could
 * not write what it was told is asked again a few times: a full disk may be cleared.
 */
export async function callAgain<T>(call: () => Promise<T>, { now, sleep }: CallAgainNeeds): Promise<T> {
  let unwritten = 0;
  for (let ends = 0; ; ) {
    const since = now();
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      const retryMs = error.code === "QUOTA_EXCEEDED" ? CHECKPOINT_RETRY_MS[unwritten++] : undefined;
      if (retryMs !== undefined) {
        await sleep(retryMs);
        continue;
      }
      if (error.code !== "EXTENSION_DISCONNECTED") throw error;
      // The user may think for minutes, which a service worker does not outlive: that is no sign of trouble.
      ends = now() - since < POOL_CALL_LONG_MS ? ends + 1 : 1;
      const pauseMs = POOL_CALL_PAUSES_MS[ends - 1];
      if (pauseMs === undefined)
        throw new HoldfastError(
          "EXTENSION_DISCONNECTED",
          `The extension's service worker ended ${ends} times before it answered; reload the extension and try again.`,
          { cause: error },
        );
      await sleep(pauseMs);
    }
  }
}
