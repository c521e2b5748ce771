import { FORGET_AGAIN_MS } from "../base/limits.ts";
import type { PoolNeeds } from "./needs.ts";

/**
 * Deletes what is stored for a session that has ended. A full disk may refuse even that: then again after a pause, until it is
 * done; if the service worker ends before, its next start finds what is left. Resolves after the first try.
 */
export async function forgetStored(
  needs: Pick<PoolNeeds, "forgetCheckpoints" | "after">,
  sessionId: string,
  tries = 0,
): Promise<void> {
  try {
    await needs.forgetCheckpoints(sessionId);
  } catch {
    const pauseMs = FORGET_AGAIN_MS[Math.min(tries, FORGET_AGAIN_MS.length - 1)] ?? 0;
    needs.after(pauseMs, () => void forgetStored(needs, sessionId, tries + 1));
  }
}
