import { HoldfastError, messageOf } from "../base/errors.ts";
import { FAILURE_CHARS_MAX, GPU_LOSSES_MAX, RECOVERY_ATTEMPTS_MAX, RECOVERY_BACKOFF_MS } from "../base/limits.ts";
import { classify } from "../fault/classify.ts";
import {
  decideRecovery,
  type Fault,
  type Recovery,
  type RecoveryCommand,
  type RecoveryEvent,
} from "../fault/decide-recovery.ts";
import type { SessionEvent, StageInfo } from "../protocol/events.ts";
import type { FailedHost } from "../protocol/origin.ts";
import type { Lease } from "../protocol/pool.ts";
import type { SessionRecord } from "../state/pool-state.ts";
import type { Breakers } from "./breakers.ts";
import { type GiveUpCommand, gaveUpError } from "./gave-up.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import { RecoverySteps } from "./recovery-steps.ts";
import type { Spares } from "./spares.ts";

type ClimbCommand = Extract<RecoveryCommand, { type: "climb" }>;

/** A tab that the user closed, or that went with the whole browser, is no failure of the browser. */
export const BY_HAND = /\btab( closed)?$/;
/** Begins the signal of a fault that a page reported. */
export const PAGE_SAYS = "the page says";

/** Detect → classify → select → execute → verify → fall back, one recovery at a time per stage. */
export class RecoveryManager {
  private readonly recoveries = new Map<string, Recovery>();
  /** Stages for which two hosts race, and what the one that was to come back has failed with meanwhile. */
  private readonly races = new Map<string, Fault | null>();
  private readonly steps: RecoverySteps;

  constructor(
    private readonly needs: PoolNeeds,
    private readonly hosts: HostManager,
    spares: Spares,
    private readonly breakers: Pick<Breakers, "failed" | "succeeded">,
    private readonly events: {
      tell(session: SessionRecord, event: SessionEvent): void;
      /** Nothing that may be tried is left: the session ends. */
      gaveUp(session: SessionRecord, error: HoldfastError): void;
    },
  ) {
    this.steps = new RecoverySteps(needs, hosts, spares);
  }

  /** A host was seen to fail. Reports of an earlier attempt change nothing. */
  fault({ hostId, attempt }: Lease, signal: string, seen: { pageGone: boolean; hostDropped: boolean }): void {
    const found = this.stageOf(hostId, attempt);
    if (found === null) return;
    const { session, stage } = found;
    if (session.stages[stage]?.phase === "lost") return;
    const category = classify(signal);
    const at = this.needs.now();
    void note(this.needs, {
      action: "stage_fault",
      data: { sessionId: session.sessionId, stage, hostId, category, signal, at, recoveredMs: null },
    });
    if (category === "WEBGPU" && session.stages[stage]?.provider === "webgpu") this.countGpuLoss(session);
    const provider = this.hosts.providerOf(hostId) ?? session.stages[stage]?.provider ?? null;
    if (!BY_HAND.test(signal)) this.breakers.failed(session, stage, provider);
    this.hosts.settled(hostId);
    this.events.tell(session, { type: "fault", at, stage, hostId, attempt, category, signal });
    this.failed(session.sessionId, stage, { category, signal, ...seen });
  }

  /**
   * A driver was told so of a stage, once: where the books do not say it any more, the disk has lost what was noted last, and
   * neither hears the other. The stage begins anew, as an attempt that is later than both.
   */
  known(sessionId: string, { stage, hostId, attempt, phase }: StageInfo): void {
    const record = this.needs.journal.state.sessions[sessionId]?.stages[stage];
    if (record === undefined || attempt < record.attempt) return;
    const isSame = attempt === record.attempt && hostId === record.hostId;
    if (isSame && (phase !== "lost" || record.phase === "lost")) return;
    this.hosts.hostSays({ hostId: record.hostId, attempt }, record);
    this.fault(record, "what became of the host while the pool was away is in no books", {
      pageGone: false,
      hostDropped: true,
    });
  }

  /** A page found a host of its site to have failed. One that is on its way back already is left to it. */
  reported({ origin, hostId, signal }: { origin: string; hostId: string; signal: string }): FailedHost {
    const { hosts, sessions } = this.needs.journal.state;
    const host = Object.hasOwn(hosts, hostId) ? hosts[hostId] : undefined;
    const record = host === undefined ? undefined : sessions[host.sessionId]?.stages[host.stage];
    // Another site's host is as unknown as one that there never was.
    if (host?.origin !== origin || record?.hostId !== hostId)
      throw new HoldfastError("BAD_OPTIONS", "This site has no such host; it may have been replaced already.");
    const { attempt, phase } = record;
    // The page chose the words: they classify the fault, and can be mistaken for nothing that the browser told.
    const told = `${PAGE_SAYS}: ${signal.slice(0, FAILURE_CHARS_MAX)}`;
    if (phase === "ready") this.fault({ hostId, attempt }, told, { pageGone: false, hostDropped: false });
    // Whoever waits, waits for a later attempt; one that is starting is that later attempt already.
    return { sessionId: host.sessionId, stage: host.stage, attempt: phase === "starting" ? attempt - 1 : attempt };
  }

  /** Takes up a recovery that another service worker left unfinished. */
  resume(sessionId: string, stage: number): void {
    const record = this.needs.journal.state.sessions[sessionId]?.stages[stage];
    if (record === undefined || this.recoveries.has(`${sessionId} ${stage}`)) return;
    const host = this.needs.journal.state.hosts[record.hostId];
    const lease = { hostId: record.hostId, attempt: record.attempt };
    if (record.phase === "starting")
      this.fault(lease, "no sign of life since the pool restarted", {
        pageGone: host === undefined,
        hostDropped: true,
      });
    else
      this.step(sessionId, stage, {
        type: "fault",
        fault: {
          category: "CRASH",
          signal: "recovery was cut short",
          pageGone: host === undefined,
          hostDropped: true,
        },
        now: this.needs.now(),
      });
  }

  ready(sessionId: string, stage: number): void {
    const key = `${sessionId} ${stage}`;
    this.races.delete(key);
    const wasTrying = this.recoveries.get(key)?.phase === "trying";
    this.step(sessionId, stage, { type: "ready" });
    const session = this.steps.recoverable(sessionId);
    const record = session?.stages[stage];
    if (!wasTrying || session === null || record === undefined) return;
    const { hostId, attempt } = record;
    this.events.tell(session, { type: "verifying", at: this.needs.now(), stage, hostId, attempt });
  }

  verified(sessionId: string, stage: number): void {
    const session = this.steps.recoverable(sessionId);
    if (session?.stages[stage]?.phase === "ready") this.breakers.succeeded(session, stage);
    this.step(sessionId, stage, { type: "verified" });
  }

  forget(sessionId: string): void {
    for (const known of [this.recoveries, this.races])
      for (const key of known.keys()) if (key.startsWith(`${sessionId} `)) known.delete(key);
  }

  stageOf(hostId: string, attempt: number): { session: SessionRecord; stage: number } | null {
    const state = this.needs.journal.state;
    const host = state.hosts[hostId];
    const session = host === undefined ? undefined : state.sessions[host.sessionId];
    const record = host === undefined ? undefined : session?.stages[host.stage];
    if (host === undefined || session === undefined || record?.hostId !== hostId || record.attempt !== attempt)
      return null;
    return { session, stage: host.stage };
  }

  private step(sessionId: string, stage: number, event: RecoveryEvent): void {
    const session = this.needs.journal.state.sessions[sessionId];
    if (session === undefined) return;
    const key = `${sessionId} ${stage}`;
    const [next, commands] = decideRecovery(this.recoveries.get(key) ?? { phase: "healthy" }, event, {
      level: session.options.faultToleranceLevel,
      strategy: session.options.recoveryStrategy,
      // A session that an older version of the extension has parked names none.
      attemptsMax: session.options.maxRecoveryAttempts ?? RECOVERY_ATTEMPTS_MAX,
      backoffMs: RECOVERY_BACKOFF_MS,
    });
    this.recoveries.set(key, next);
    for (const command of commands) {
      if (command.type === "give_up") this.giveUp(session, stage, command);
      else this.needs.after(command.delayMs, () => void this.tryStep(sessionId, stage, command));
    }
  }

  /** A step that the browser does not let us take (no window for a tab, no list of pages) is one more failure. */
  private async tryStep(sessionId: string, stage: number, { steps, tried }: ClimbCommand): Promise<void> {
    const key = `${sessionId} ${stage}`;
    try {
      await this.steps.climb({
        ...{ sessionId, stage, steps, before: tried.length, lostDevice: this.lostDevice(key) },
        begun: (taken, attempt) => this.begun(sessionId, stage, { steps: taken, tried, attempt }),
        races: () => void this.races.set(key, null),
      });
    } catch (error) {
      if (this.steps.recoverable(sessionId)?.stages[stage]?.phase !== "lost") return;
      const fault = { category: "UNKNOWN", signal: messageOf(error), pageGone: true, hostDropped: true } as const;
      this.failed(sessionId, stage, fault);
    }
  }

  private begun(
    sessionId: string,
    stage: number,
    { steps, tried, attempt }: Pick<ClimbCommand, "steps" | "tried"> & { readonly attempt: number },
  ): void {
    const session = this.steps.recoverable(sessionId);
    if (session === null) return;
    const { recoveryStrategy: strategy } = session.options;
    const chosen = { at: this.needs.now(), strategy, tried: tried.flat() };
    for (const step of steps) this.events.tell(session, { type: "recovering", stage, step, attempt, ...chosen });
  }

  /** A host that raced for a stage holds its shard. */
  rivalLoaded({ hostId, attempt }: Lease): void {
    const spare = this.needs.journal.state.spares?.[hostId];
    if (spare?.attempt !== attempt || spare.standby?.isRival !== true) return;
    const { sessionId, stage } = spare.standby;
    const key = `${sessionId} ${stage}`;
    const inPlace = this.races.get(key);
    if (inPlace === undefined) return;
    this.races.delete(key);
    void this.steps.won(sessionId, stage).then((hasWon) => {
      if (!hasWon && inPlace !== null) this.failed(sessionId, stage, inPlace);
    });
  }

  /** It is out of the race. Where the host that was to come back has failed as well, so has the rung. */
  rivalLost(sessionId: string, stage: number): void {
    const key = `${sessionId} ${stage}`;
    const inPlace = this.races.get(key);
    if (inPlace === undefined) return;
    this.races.delete(key);
    if (this.steps.recoverable(sessionId)?.stages[stage]?.phase !== "lost") return;
    const neither = {
      category: "UNKNOWN",
      signal: "neither host came back",
      pageGone: true,
      hostDropped: true,
    } as const;
    this.failed(sessionId, stage, inPlace ?? neither);
  }

  /** While another host still races for the stage, what fails here is not the end of its rung. */
  private failed(sessionId: string, stage: number, fault: Fault): void {
    const key = `${sessionId} ${stage}`;
    if (this.races.has(key)) this.races.set(key, fault);
    else this.step(sessionId, stage, { type: "fault", fault, now: this.needs.now() });
  }

  private lostDevice(key: string): boolean {
    const recovery = this.recoveries.get(key);
    return recovery !== undefined && "fault" in recovery && recovery.fault.category === "WEBGPU";
  }

  private countGpuLoss(session: SessionRecord): void {
    // One dead GPU process is reported by every stage that used it; losses close together are one.
    const recent = this.needs.journal.state.faults.filter(
      (fault) =>
        fault.sessionId === session.sessionId && fault.category === "WEBGPU" && this.needs.now() - fault.at < 2_000,
    );
    if (recent.length > 1) return;
    const gpuLosses = Math.min(session.gpuLosses + 1, GPU_LOSSES_MAX + 1);
    void note(this.needs, {
      action: "update_session",
      data: { sessionId: session.sessionId, gpuLosses, at: this.needs.now() },
    });
  }

  private giveUp(session: SessionRecord, stage: number, command: GiveUpCommand): void {
    this.events.gaveUp(session, gaveUpError(stage, session.options, command));
  }
}
