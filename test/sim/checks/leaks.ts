import type { PoolState } from "../../../src/state/pool-state.ts";
import type { Browser } from "../world/browser.ts";
import type { Loop } from "../world/loop.ts";

/** What is left when every session was released, every page closed, and time has passed. */
export function leaksOf(browser: Browser, loop: Loop, { hosts, spares = {}, sessions }: PoolState): string[] {
  const leaks: string[] = [];
  const { leaked } = browser.channels;
  if (browser.tabs.size > 0) leaks.push(`${browser.tabs.size} host tabs are left`);
  if (leaked.length > 0)
    leaks.push(
      `${leaked.length} channels are left, one from ${leaked[0]?.owner?.name} to ${leaked[0]?.peer.owner?.name}`,
    );
  const { pending } = loop;
  if (pending.length > 0) leaks.push(`${pending.length} timers are left, one for ${(pending[0] ?? 0) - loop.now} ms`);
  const booked = Object.keys(hosts).length + Object.keys(spares).length;
  if (booked > 0) leaks.push(`${booked} hosts are left in the books`);
  // Pages that were reloaded leave parked (or paused) sessions behind, which a page may take up for a day.
  for (const { sessionId, status } of Object.values(sessions))
    if (status !== "parked" && status !== "paused") leaks.push(`session ${sessionId} is left, ${status}`);
  for (const sessionId of browser.checkpoints.sessions)
    if (sessions[sessionId] === undefined) leaks.push(`checkpoints of session ${sessionId} are left`);
  return leaks;
}

/** What is left when the time is over for which parked sessions are kept. */
export function keptTooLong(browser: Browser, { sessions }: PoolState): string[] {
  const left = [...Object.keys(sessions), ...browser.checkpoints.sessions];
  return left.length === 0 ? [] : [`sessions are kept for too long: ${left.join(", ")}`];
}
