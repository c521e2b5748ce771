import { GONE_LOOK_MS, GONE_LOOKS, USER_CLOSE_WINDOW_MS } from "../base/limits.ts";
import type { HostRecord, SessionRecord } from "../state/pool-state.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import type { RecoveryManager } from "./recovery-manager.ts";
import type { Spares } from "./spares.ts";

const TAB_CLOSED = "host tab closed";

/** What the browser tells of hosts' tabs and of the pages in them, and what it means: a fault, a pause, or nothing. */
export class HostPages {
  constructor(
    private readonly needs: PoolNeeds,
    /** The user wants no more of this session now. */
    private readonly pause: (session: SessionRecord) => Promise<void>,
    private readonly hosts: HostManager,
    private readonly spares: Spares,
    private readonly recovery: RecoveryManager,
  ) {}

  /** A host's page is there and can be talked to. */
  connected(hostId: string): void {
    this.hosts.pageReached(hostId);
  }

  /** A host page's port broke: its tab was closed, discarded or reloaded, or its process died. */
  async disconnected(hostId: string, looksLeft = GONE_LOOKS): Promise<void> {
    const { needs } = this;
    // Before anybody takes it.
    if (this.state.spares?.[hostId] !== undefined) this.hosts.pageLost(hostId);
    const pages = await needs.livePages();
    const host = this.state.hosts[hostId];
    if (host === undefined && this.state.spares?.[hostId] === undefined) return;
    if (host?.place === "offscreen" ? pages.offscreen : pages.hostIds.has(hostId)) {
      // The browser may still list a page whose process has just died.
      if (looksLeft > 0) needs.after(GONE_LOOK_MS, () => void this.disconnected(hostId, looksLeft - 1));
      return;
    }
    const hasTab = await this.findTab(hostId);
    if (host === undefined) return this.spares.pageLost(hostId);
    if (this.state.hosts[hostId] !== undefined) this.lost(host, !hasTab);
  }

  /** These are thought to be alive, and so connect soon; of those that do not the browser is asked again. */
  expect(hosts: readonly HostRecord[]): void {
    this.needs.after(GONE_LOOK_MS, () => {
      for (const { hostId } of hosts) if (!this.hosts.isReached(hostId)) void this.disconnected(hostId);
    });
  }

  /** Whether a host has a tab. A tab that the browser discarded has another id since. */
  async findTab(hostId: string): Promise<boolean> {
    const { needs } = this;
    const tabs = (await needs.hostTabs()).filter((tab) => tab.hostId === hostId);
    const { hosts, spares } = this.state;
    const [host, spare] = [hosts[hostId], spares?.[hostId]];
    const known = host?.tabId ?? spare?.tabId ?? null;
    const tabId = tabs.find((tab) => tab.tabId === known)?.tabId ?? tabs[0]?.tabId;
    if (tabId === undefined) return false;
    if (tabId === known) return true;
    if (host !== undefined) {
      const { status } = host;
      void note(needs, { action: "update_browser_status", data: { hostId, status, tabId } });
    } else if (spare !== undefined) void note(needs, { action: "set_spare", data: { ...spare, tabId } });
    return true;
  }

  /** The user closed a host's tab (our own closing removes the host first). */
  tabRemoved(tabId: number): void {
    const host = this.hostIn(tabId);
    if (host !== undefined) this.lost(host, true);
    else this.spares.tabLost(tabId);
  }

  /** The browser froze a host's tab: nothing in it runs, and its port stays open. It is not waited for. */
  async tabFrozen(tabId: number): Promise<void> {
    // An event that woke the service worker is heard after its start, which may have loaded the page anew by then.
    const tabs = await this.needs.hostTabs().catch(() => []);
    if (tabs.some((tab) => tab.tabId === tabId && !tab.frozen)) return;
    const host = this.hostIn(tabId);
    this.spares.tabLost(tabId);
    if (host === undefined) return;
    this.hosts.pageLost(host.hostId);
    this.fault(host.hostId, "host tab frozen", true);
  }

  /** Two tabs of a session closed within a minute pause it. Asked of the journal: it outlives the service worker. */
  lost(host: HostRecord, tabGone: boolean): void {
    const { hostId, sessionId } = host;
    const session = this.state.sessions[sessionId];
    const now = this.needs.now();
    const closedBefore = this.state.faults.some(
      (fault) =>
        fault.sessionId === sessionId &&
        fault.hostId !== hostId &&
        fault.signal === TAB_CLOSED &&
        now - fault.at < USER_CLOSE_WINDOW_MS,
    );
    if (tabGone && closedBefore && session?.status === "live") {
      void this.pause(session);
      return;
    }
    this.hosts.pageLost(hostId);
    this.fault(hostId, tabGone ? TAB_CLOSED : "page process gone", tabGone);
  }

  /** A page and its tab went, and not by the user's hand: an extension that was reloaded, say. */
  vanished({ hostId }: HostRecord): void {
    this.hosts.pageLost(hostId);
    this.fault(hostId, "page process gone, and its tab", true);
  }

  private get state() {
    return this.needs.journal.state;
  }

  private hostIn(tabId: number): HostRecord | undefined {
    return Object.values(this.state.hosts).find((host) => host.tabId === tabId);
  }

  private fault(hostId: string, signal: string, pageGone: boolean): void {
    const { hosts, sessions } = this.state;
    const host = hosts[hostId];
    const record = host === undefined ? undefined : sessions[host.sessionId]?.stages[host.stage];
    if (record?.hostId === hostId)
      this.recovery.fault({ hostId, attempt: record.attempt }, signal, { pageGone, hostDropped: true });
  }
}
