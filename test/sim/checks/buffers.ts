import { RESEND_RUNS_MAX, RUNS_UNANSWERED_MAX } from "../../../src/base/limits.ts";
import type { Session } from "../../../src/page/session.ts";
import type { Browser } from "../world/browser.ts";
import type { Frame } from "../world/frame.ts";

/** Runs that may be kept for a replay at once: the bound is looked at before a run is taken, and some are on their way. */
const KEPT_MAX = RESEND_RUNS_MAX + RUNS_UNANSWERED_MAX;

/** What is kept for replays grows with no session: neither in the page nor in the hosts. */
export function overfull(session: Session | null, browser: Browser): string | null {
  const kept = session === null ? 0 : logOf(session).replayRuns;
  if (kept > KEPT_MAX) return `a page keeps the feeds of ${kept} runs`;
  for (const { page } of browser.tabs.values()) {
    const outputs = page?.frame?.context.alive === true ? keptBy(page.frame) : 0;
    if (outputs > KEPT_MAX) return `a host keeps the outputs of ${outputs} runs`;
  }
  return null;
}

// Nothing outside of tests needs to know what these two keep.
function logOf(session: Session): { readonly replayRuns: number } {
  return (session as unknown as { readonly log: { readonly replayRuns: number } }).log;
}

function keptBy(frame: Frame): number {
  const { stage } = frame.host as unknown as { readonly stage: { readonly kept: ReadonlyMap<number, unknown> } | null };
  return stage?.kept.size ?? 0;
}
