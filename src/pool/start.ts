import { type HostRecord, isHost } from "../state/pool-state.ts";
import { forgetStored } from "./forget.ts";
import type { PoolNeeds } from "./needs.ts";
import type { ResourcePool } from "./resource-pool.ts";

/**
 * Every start is the same path: a first start, a wake from sleep, a crash, an update, a new browser. The journal says
 * what was; the browser says what is; what differs is recovered, parked or closed.
 */
export async function reconcile(pool: ResourcePool, needs: PoolNeeds): Promise<void> {
  const [pages, bridges] = await Promise.all([needs.livePages(), needs.liveBridges()]);
  const { hosts, sessions } = pool.state;
  const isAlive = (host: HostRecord): boolean =>
    host.place === "offscreen" ? pages.offscreen : pages.hostIds.has(host.hostId);
  const tabLeft = ({ hostId }: HostRecord): Promise<boolean> => pool.pages.findTab(hostId);
  // A tab whose process died is still there; with all bridges dead as well, it alone tells a crash from a new browser.
  const isLeft = async (host: HostRecord | undefined): Promise<boolean> =>
    host !== undefined && (isAlive(host) || tabLeft(host));
  for (const session of Object.values(sessions)) {
    // Its caller's promise ended with the last service worker; the client library opens anew.
    if (session.status === "opening" || session.status === "closing") await pool.sessions.remove(session.sessionId);
    // So did that of whoever took it up, and asks again.
    if (session.status === "resuming") await pool.sessions.park(session);
    if (session.status !== "live") continue;
    if (bridges.has(session.bridgeId)) continue;
    const left = await Promise.all(session.stages.map(({ hostId }) => isLeft(hosts[hostId])));
    // Neither page nor hosts: the browser was started anew. Nobody waits, so nothing is computed until somebody comes.
    if (!left.includes(true)) await pool.sessions.park(session);
  }
  // A service worker that died between a replacement and the end of what it replaced, or in the middle of a park.
  for (const { hostId, sessionId, stage } of Object.values(pool.state.hosts)) {
    const session = pool.state.sessions[sessionId];
    if (session?.status !== "live" || session.stages[stage]?.hostId !== hostId) await pool.closeHost(hostId);
  }
  const gone = Object.values(pool.state.hosts).filter((host) => !isAlive(host));
  for (const host of gone) {
    const tabGone = !(await tabLeft(host));
    // A user closes one tab at a time; several that went while nobody looked went with the extension or the browser.
    const alone = gone.every(({ sessionId, hostId }) => sessionId !== host.sessionId || hostId === host.hostId);
    if (tabGone && !alone) pool.pages.vanished(host);
    else pool.pages.lost(host, tabGone);
  }
  // Who was told that a tab is frozen, or what was noted of it, may have gone with the last service worker.
  for (const { tabId, frozen } of await needs.hostTabs()) if (frozen) await pool.pages.tabFrozen(tabId);
  // The browser may still list a page whose process has just died, and whose port broke when nobody was there to see it.
  pool.pages.expect(Object.values(pool.state.hosts).filter(isAlive));
  // A stage whose recovery ended with the last service worker is recovered again; its attempt grows.
  for (const session of Object.values(pool.state.sessions)) {
    if (session.status !== "live") continue;
    for (const [stage, record] of session.stages.entries())
      if (record.phase !== "ready") pool.resumeRecovery(session.sessionId, stage);
  }
  await pool.spares.reconcile((hostId) => pages.hostIds.has(hostId));
  // Taken out of the books, and the service worker died before it had closed the tab. A page that lives is told to leave, one
  // whose process died hears nothing.
  for (const { hostId, tabId } of await needs.hostTabs())
    if (!isHost(pool.state, hostId)) await needs.closePage({ hostId, place: "tab", tabId });
  await forgetUnknown(pool, needs);
  pool.sessions.refreshPopup();
  await pool.sessions.owners.inspect();
}

/** A service worker that died between the end of a session and the end of what was stored for it; or a disk lost its record. */
async function forgetUnknown(pool: ResourcePool, needs: PoolNeeds): Promise<void> {
  // A session is journalled before anything is stored for it, so what was stored before now is told apart.
  const stored = await needs.storedSessions().catch(() => []);
  for (const sessionId of stored)
    if (pool.state.sessions[sessionId] === undefined) await forgetStored(needs, sessionId);
}
