import type { Browser } from "../world/browser.ts";
import type { Loop } from "../world/loop.ts";

/** What is left when every session was released, every page closed, and time has passed. */
export function leaksOf(browser: Browser, loop: Loop): string[] {
  const leaks: string[] = [];
  const { leaked } = browser.channels;
  if (browser.tabs.size > 0) leaks.push(`${browser.tabs.size} host tabs are left`);
  if (leaked.length > 0)
    leaks.push(
      `${leaked.length} channels are left, one from ${leaked[0]?.owner?.name} to ${leaked[0]?.peer.owner?.name}`,
    );
  if (loop.pending > 0) leaks.push(`${loop.pending} timers are left`);
  return leaks;
}
