import type { StageTimes } from "../protocol/host.ts";
import { PROVIDERS } from "../protocol/options.ts";
import type { HostToPool } from "../protocol/pool.ts";
import { FAMILIES } from "../shard/family.ts";
import { type FaultRecord, planStage, type SessionRecord, type TransactionBody } from "../state/pool-state.ts";
import type { PoolNeeds } from "./needs.ts";
import { BY_HAND, PAGE_SAYS } from "./recovery-manager.ts";

/**
 * Writes history while the journal is written: loads, recoveries and failures of hosts are read off its transactions, so
 * that nobody who makes them has to know of history. What hosts measure comes beside it.
 */
export class OperationRecorder {
  /** Operations under way, by `loadKey` and `recoveryKey` → entry. */
  private readonly running = new Map<string, string>();
  private readonly browserTypes = new Map<string, string>();
  /** Sessions of which a host failed while they opened. */
  private readonly faulty = new Set<string>();

  constructor(private readonly needs: PoolNeeds) {}

  /** The same needs, with a journal that is read along. */
  watched(): PoolNeeds {
    const { journal } = this.needs;
    return {
      ...this.needs,
      journal: {
        get state() {
          return journal.state;
        },
        append: (body) => {
          const before = journal.state;
          const written = journal.append(body);
          // What cannot be written goes out with the next transaction; who must know it waits for this one.
          written.catch(() => undefined);
          this.read(body, before.sessions);
          return written;
        },
      },
    };
  }

  booted({ hostId, provider, capability, speed }: HostToPool["booted"]): void {
    const { history } = this.needs;
    this.browserTypes.set(hostId, capability.browser.type);
    history.reports.add(provider, capability, speed, this.needs.now());
    history.changed();
  }

  /** One entry a report, not one a run; its duration is the median run's. */
  stageTimes(session: SessionRecord, index: number, times: StageTimes): void {
    const { model, stages, sessionId, plan } = session;
    const { runs, medianMs, minMs, maxMs } = times;
    const host = stages[index];
    if (host === undefined) return;
    const stage = planStage(session, index);
    const shards = plan?.shards.length ?? this.needs.journal.state.sessions[sessionId]?.stages.length ?? stages.length;
    const id = this.start("inference", model, host.hostId);
    const family = plan?.family ?? null;
    const place = {
      stage,
      shards,
      weightBytes: host.weightBytes,
      provider: PROVIDERS.indexOf(host.provider ?? "wasm"),
      ...(family === null ? {} : { family: FAMILIES.indexOf(family) }),
    };
    this.needs.history.tracker.completeOperation(id, { durationMs: medianMs, runs, minMs, maxMs, ...place });
  }

  /** No step of the ladder helped. */
  gaveUp(sessionId: string): void {
    this.end(recoveryKey({ sessionId }), "failed");
  }

  private read({ action, data }: TransactionBody, before: Readonly<Record<string, SessionRecord>>): void {
    switch (action) {
      case "add_model_to_browser": {
        if (!("sessionId" in data)) return;
        const session = before[data.sessionId];
        const isFirst = session?.status === "opening" && data.stage === 0 && data.attempt === 0;
        if (isFirst) this.running.set(loadKey(data.sessionId), this.start("load", session.model, data.hostId));
        return;
      }
      case "update_session":
        if (data.status === "live") {
          this.faulty.delete(data.sessionId);
          this.end(loadKey(data.sessionId), "completed", before[data.sessionId]);
        } else if (data.status !== undefined && data.status !== "opening") this.sessionEnded(data.sessionId);
        return;
      case "remove_session":
        this.sessionEnded(data.sessionId);
        return;
      case "stage_fault":
        this.hostFailed(data, before[data.sessionId]);
        return;
      case "stage_recovered":
        this.end(recoveryKey(data), "completed");
        return;
      case "remove_browser":
      case "remove_spare":
        this.browserTypes.delete(data.hostId);
    }
  }

  private hostFailed({ sessionId, stage, hostId, signal }: FaultRecord, session: SessionRecord | undefined): void {
    if (session === undefined) return;
    if (session.status === "opening") this.faulty.add(sessionId);
    const wasReady = session.stages[stage]?.phase === "ready";
    // What a page says is not measured, and all sites' plans rest on what is.
    if (wasReady && !BY_HAND.test(signal) && !signal.startsWith(PAGE_SAYS)) {
      const id = this.start("inference", session.model, hostId);
      this.needs.history.tracker.completeOperation(id, {}, "failed");
    }
    const key = recoveryKey({ sessionId, stage });
    // A host that fails while its stage is being recovered belongs to the same recovery.
    if (session.status === "live" && !this.running.has(key))
      this.running.set(key, this.start("recovery", session.model, hostId));
  }

  /** What its caller gave up is nobody's failure; a load that a host failed in is. */
  private sessionEnded(sessionId: string): void {
    this.end(loadKey(sessionId), this.faulty.delete(sessionId) ? "failed" : "aborted");
    this.end(recoveryKey({ sessionId }), "aborted");
  }

  private start(operation: string, model: string, hostId: string): string {
    const { history } = this.needs;
    const { tracker, reports } = history;
    history.changed();
    return tracker.startOperation(operation, model, hostId, this.browserTypes.get(hostId) ?? reports.ownType);
  }

  /** Of all operations under way whose key starts so. */
  private end(prefix: string, how: "completed" | "failed" | "aborted", session?: SessionRecord): void {
    const { history } = this.needs;
    for (const [key, id] of this.running) {
      if (!key.startsWith(prefix)) continue;
      this.running.delete(key);
      const stages = session?.stages ?? [];
      const weightBytes = stages.reduce((sum, stage) => sum + stage.weightBytes, 0);
      if (how === "aborted") history.tracker.abortOperation(id);
      else
        history.tracker.completeOperation(id, session === undefined ? {} : { shards: stages.length, weightBytes }, how);
      history.changed();
    }
  }
}

function loadKey(sessionId: string): string {
  return `load ${sessionId} `;
}

/** Without a stage, what the keys of all stages start with. */
function recoveryKey({ sessionId, stage }: { readonly sessionId: string; readonly stage?: number }): string {
  return `recovery ${sessionId} ${stage === undefined ? "" : `${stage} `}`;
}
