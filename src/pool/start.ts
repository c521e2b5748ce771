import type { PoolNeeds } from "./needs.ts";
import type { ResourcePool } from "./resource-pool.ts";

/**
 * Every start is the same path: a first start, a wake from sleep, a crash, an update, a new browser. The journal says
 * what was; the browser says what is; what differs is recovered, parked or closed.
 */
export async function reconcile(pool: ResourcePool, needs: PoolNeeds): Promise<void> {
  const [pages, bridges] = await Promise.all([needs.livePages(), needs.liveBridges()]);
  const { hosts, sessions } = pool.state;
  for (const session of Object.values(sessions)) {
    // Its caller's promise ended with the last service worker; the client library opens anew.
    if (session.status === "opening") await pool.sessions.remove(session.sessionId);
    if (session.status !== "live") continue;
    const anyHost = session.stages.some(({ hostId }) =>
      hosts[hostId]?.place === "offscreen" ? pages.offscreen : pages.hostIds.has(hostId),
    );
    // Neither page nor hosts: the browser was started anew. Nobody waits, so nothing is computed until somebody comes.
    if (!bridges.has(session.bridgeId) && !anyHost) await pool.sessions.park(session.sessionId);
  }
  for (const host of Object.values(pool.state.hosts)) {
    const alive = host.place === "offscreen" ? pages.offscreen : pages.hostIds.has(host.hostId);
    if (alive) continue;
    const pageGone = host.tabId === null || !(await needs.tabExists(host.tabId));
    pool.lost(host.hostId, pageGone ? "host tab closed" : "page process gone", pageGone);
  }
  // A stage whose recovery ended with the last service worker is recovered again; its attempt grows.
  for (const session of Object.values(pool.state.sessions)) {
    if (session.status !== "live") continue;
    for (const [stage, record] of session.stages.entries())
      if (record.phase !== "ready") pool.resumeRecovery(session.sessionId, stage);
  }
  pool.sessions.refreshPopup();
  await pool.sessions.inspectOwners();
}
