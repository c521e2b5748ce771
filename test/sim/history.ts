import type { ErrorCode } from "../../src/base/errors.ts";
import { PARKED_KEPT_MS, RECOVERY_ATTEMPTS_MAX } from "../../src/base/limits.ts";
import { LEVELS } from "../../src/fault/levels.ts";
import { Random } from "../unit/random.ts";
import { overfull } from "./checks/buffers.ts";
import { Guard } from "./checks/guard.ts";
import { keptTooLong, leaksOf } from "./checks/leaks.ts";
import { cellOf } from "./coverage.ts";
import { FAULT_TABLE, type Target } from "./faults.ts";
import type { FaultKind, HistoryPlan, Phase, PlannedFault } from "./plan.ts";
import { Slot } from "./slot.ts";
import { Browser } from "./world/browser.ts";
import { Loop } from "./world/loop.ts";
import { nameOf } from "./world/models.ts";
import { WebPage } from "./world/web-page.ts";

/** A fault waits so long for its session to be in its phase, then comes anyway. */
const PHASE_WAIT_MS = 1_000;
/** It comes so long after its phase began, at most: about as long as the phase lasts. */
const INTO_PHASE_MS: Readonly<Record<Phase, number>> = {
  opening: 500,
  idle: 10,
  running: 8,
  storing: 4,
  recovering: 400,
};
/** After the last word: whatever is still to end by itself ends within this. */
const END_MS = 400_000;
/** A fault may be felt so long after it has ended. */
const FELT_LATE_MS = 5_000;
/** A history that goes on for longer than this hangs. */
const HISTORY_MS_MAX = 900_000;

/** Faults that take away what was stored. */
const DAMAGES: ReadonlySet<FaultKind> = new Set(["checkpointTorn", "checkpointLost", "journalTorn", "journalLost"]);

export interface Outcome {
  readonly seed: number;
  /** What went wrong, each once; empty: all held. */
  readonly violations: readonly string[];
  readonly events: number;
  readonly faults: number;
  readonly sessions: number;
  readonly trace: number;
  /** What hit which session, by `fault phase level`. */
  readonly met: readonly string[];
  readonly log: readonly string[];
}

interface Fired {
  readonly kind: FaultKind;
  readonly at: number;
  readonly slot: number;
  readonly sessionId: string | null;
}

/** Plays a history from its plan: the same each time. */
export function play(plan: HistoryPlan): Outcome {
  return new History(plan).play();
}

class History {
  private readonly loop = new Loop();
  private readonly random: Random;
  private readonly browser: Browser;
  private readonly pages: WebPage[];
  private readonly slots: Slot[];
  private readonly guard: Guard;
  private readonly met: string[] = [];
  private readonly fired: Fired[] = [];
  private readonly violations = new Set<string>();
  private readonly log: string[] = [];
  private sessions = 0;
  /** After each event, while a fault waits for its phase. */
  private look: (() => void) | null = null;
  private allFired = false;

  constructor(private readonly plan: HistoryPlan) {
    this.random = new Random(plan.seed);
    this.browser = new Browser(this.loop, this.random);
    this.guard = new Guard(
      this.browser,
      (what) => this.violation(what),
      (what) => this.note(what),
    );
    this.browser.watch = this.guard;
    this.pages = [0, 1].map((page) => new WebPage(this.browser, originOf(page)));
    this.slots = plan.slots.map(
      (slot, index) =>
        new Slot(slot, index, {
          seed: plan.seed,
          isLong: plan.isLong,
          now: () => this.loop.now,
          sleep: (ms) => this.sleep(ms),
          page: () => this.pages[slot.page] as WebPage,
          isOver: () => this.allFired,
          mayFail: (one, code, since, isOpening) => this.mayFail(one, code, since, isOpening),
          durableRun: (sessionId) => this.guard.durableRun(sessionId),
          isUnsure: () => this.isDamaged || this.hasFired("hostNoMemory") || this.hasFired("diskFull"),
          opened: () => {
            this.sessions++;
          },
          violation: (what) => this.violation(what),
          note: (what) => this.note(what),
          event: (one, event) => {
            if (event.type !== "progress") this.note(() => `slot ${one.index}: ${JSON.stringify(event)}`);
            if (event.type === "durable" && one.session !== null)
              this.guard.durable(one.session.id, one.plan, event.run, this.isDamaged);
          },
        }),
    );
  }

  play(): Outcome {
    const { loop, plan } = this;
    const ended = Promise.all([...this.slots.map((slot) => slot.play()), this.disturb()]).then(() => this.end());
    let isOver = false;
    ended.then(
      () => {
        isOver = true;
      },
      (error: unknown) => {
        this.violation(`the history broke: ${error instanceof Error ? error.stack : String(error)}`);
        isOver = true;
      },
    );
    let looked = 0;
    while (!isOver && this.violations.size === 0) {
      if (!loop.step()) {
        this.violation("nothing is left to happen, and the history has not ended");
        break;
      }
      this.look?.();
      if (loop.now - looked > 250) {
        looked = loop.now;
        this.checkBounds();
      }
    }
    if (this.violations.size === 0) {
      // What ends by itself ends now: deadlines, the service worker's own life, alarms.
      this.pass(END_MS);
      for (const leak of leaksOf(this.browser, loop, this.guard.state)) this.violation(leak);
    }
    if (this.violations.size === 0 && Object.keys(this.guard.state.sessions).length > 0) {
      loop.wallOffset += PARKED_KEPT_MS;
      this.browser.setAlarm("owners", 0);
      this.pass(END_MS);
      for (const leak of keptTooLong(this.browser, this.guard.state)) this.violation(leak);
    }
    return {
      seed: plan.seed,
      violations: [...this.violations],
      events: loop.events,
      faults: this.fired.length,
      sessions: this.sessions,
      trace: loop.trace,
      met: this.met,
      log: this.log,
    };
  }

  private pass(ms: number): void {
    const until = this.loop.now + ms;
    while (this.loop.step(until));
  }

  private async end(): Promise<void> {
    await Promise.all(this.pages.map((page) => page.close()));
    // A frozen tab hears that it is to leave when it is looked at again.
    for (const { page } of this.browser.tabs.values()) page?.freeze(false);
  }

  private async disturb(): Promise<void> {
    const { faults } = this.plan;
    for (const fault of faults) {
      // What a fault needed to find its phase is one of them.
      if (this.fired.length >= faults.length) break;
      await this.sleep(fault.waitMs);
      await this.comeTo(fault);
      this.fire(fault.kind, fault);
    }
    this.allFired = true;
  }

  /** Waits until the fault's session is in its phase. */
  private comeTo({ slot: index, phase, stage }: PlannedFault): Promise<void> {
    const slot = this.slots[index] as Slot;
    if (phase === "opening" && !slot.isOpening) slot.wantsReopen = true;
    slot.quietSteps = 0;
    let helped = false;
    // Where it was over too soon, it is met earlier the next time.
    let into = this.random.next() * INTO_PHASE_MS[phase];
    return new Promise((come) => {
      let isMet = false;
      const met = (): void => {
        isMet = true;
        this.look = null;
        come();
      };
      const cancel = this.loop.after(PHASE_WAIT_MS, met);
      const lookAgain = (): void => {
        if (isMet) return;
        into /= 4;
        if (this.phaseOf(slot) !== phase) this.look = look;
        else {
          cancel();
          met();
        }
      };
      const look = (): void => {
        const now = this.phaseOf(slot);
        if (now === phase) {
          this.look = null;
          this.loop.after(into, lookAgain);
        } else if (phase === "recovering" && !helped && now !== "opening") {
          helped = true;
          this.fire("hostCrash", { kind: "hostCrash", slot: index, phase, stage, waitMs: 0 });
        }
      };
      this.look = look;
    });
  }

  private fire(kind: FaultKind, { slot: index, stage: share }: PlannedFault): void {
    const slot = this.slots[index] as Slot;
    const { browser } = this;
    const phase = this.phaseOf(slot);
    this.met.push(cellOf(kind, phase, slot.plan.level));
    const record = this.recordOf(slot);
    // The other hosts of a stage come after the first ones.
    const stage = Math.floor(share * Math.max(slot.plan.shards, record?.stages.length ?? 0));
    const hostId = record?.stages[stage]?.hostId ?? null;
    const sessionId = record?.sessionId ?? null;
    this.log.push(
      `${this.loop.now.toFixed(1)} ms: ${kind} at slot ${index} (${slot.plan.level}, ${phase}), stage ${stage}`,
    );
    const page = slot.plan.page;
    const target: Target = {
      browser,
      random: this.random,
      sessionId,
      stage,
      hostId,
      frame: hostId === null ? null : (browser.tabOf(hostId)?.page?.frame ?? null),
      killBridge: () => this.pages[page]?.bridge?.context.kill(),
      reloadPage: (takesUp) => {
        const old = this.pages[page];
        for (const one of this.slots) if (one.plan.page === page) one.takesUp = takesUp;
        this.pages[page] = new WebPage(browser, originOf(page));
        old?.leave();
      },
    };
    // Only hosts that vote are held against each other, so only there a lie must do no harm.
    if (kind === "hostLies" && !LEVELS[slot.plan.level].votes) slot.isLiedTo = true;
    if ((kind === "hostLies" || kind === "hostNoMemory") && sessionId !== null) this.guard.erring.add(sessionId);
    FAULT_TABLE[kind].inject(target);
    for (const one of this.slots) one.quietSteps = 0;
    this.fired.push({ kind, at: this.loop.now, slot: index, sessionId });
  }

  private phaseOf(slot: Slot): Phase {
    const record = this.recordOf(slot);
    if (slot.isOpening || slot.session === null || record === undefined) return "opening";
    if (record.stages.some(({ phase }) => phase !== "ready")) return "recovering";
    if (this.browser.checkpoints.isBusy(record.sessionId) || this.browser.journalDisk.writing > 0) return "storing";
    return slot.outstanding > 0 ? "running" : "idle";
  }

  private recordOf(slot: Slot) {
    const sessions = this.guard.state.sessions;
    if (slot.session !== null) return sessions[slot.session.id];
    return Object.values(sessions).find(
      ({ status, options, origin }) =>
        slot.isOpening &&
        status === "opening" &&
        origin === originOf(slot.plan.page) &&
        options.faultToleranceLevel === slot.plan.level,
    );
  }

  private mayFail(slot: Slot, code: ErrorCode, since: number, isOpening: boolean): boolean {
    const { level, stateful, strategy } = slot.plan;
    // A fault may have come just before, and be felt only now.
    const felt = ({ kind, at }: Fired): boolean => at + (FAULT_TABLE[kind].lastsMs ?? 0) >= since - FELT_LATE_MS;
    const faults = this.fired.filter(felt);
    // Levels that keep no state lose it with any run that fails, be it on its own account.
    const losesState = stateful && (level === "none" || level === "low");
    if (losesState && code === "STATE_LOST") return true;
    // What was never stored, or was damaged, cannot be taken up; what has ended neither.
    const isGone = code === "SESSION_UNKNOWN" || code === "SESSION_RELEASED";
    const isUnstored = this.isDamaged || this.hasFired("diskFull");
    if (isGone && isUnstored) return true;
    if (code === "STATE_LOST" && slot.isTakenUp && isUnstored) return true;
    // Two of three that lie of one run leave no majority.
    if (code === "VOTE_SPLIT") return this.fired.filter(({ kind }) => kind === "hostLies").length > 1;
    // What fails again and again is given no work for a while.
    if (code === "CIRCUIT_OPEN") return this.guard.isCircuitOpen(originOf(slot.plan.page), nameOf(slot.plan));
    if (faults.length === 0) return false;
    // No other step of the ladder may be taken, and this one helps few faults.
    if ((isGone || code === "RECOVERY_FAILED") && strategy === "reconnect" && level !== "none") return true;
    // The restart intensity is bounded: so many faults in a row are too many.
    if (code === "RECOVERY_FAILED" && faults.length > RECOVERY_ATTEMPTS_MAX) return true;
    // The first frame of a page is not waited for when it dies before it answered.
    if (slot.isConnecting && (code === "EXTENSION_ABSENT" || code === "EXTENSION_DISCONNECTED")) return true;
    const holdsHosts = ({ kind }: Fired): boolean => kind === "pageReloaded" || kind === "pageTakesUp";
    if (isOpening && code === "TOO_MANY_HOSTS" && faults.some(holdsHosts)) return true;
    // It ended for a reason that its page could not hear.
    if (isGone && faults.some(({ kind }) => FAULT_TABLE[kind].mayFail !== undefined)) return true;
    if (faults.some(({ kind }) => FAULT_TABLE[kind].mayFail?.includes(code))) return true;
    // An opening is made again twice when what it needs dies.
    if (isOpening) return (code === "HOST_LOST" || code === "EXTENSION_DISCONNECTED") && faults.length >= 3;
    return level === "none" && code === "HOST_LOST";
  }

  /** Whatever is waited for comes within the bound of the faults that stand in its way. */
  private checkBounds(): void {
    const { now } = this.loop;
    if (now > HISTORY_MS_MAX + this.slept) this.violation("the history does not end");
    const last = this.fired.at(-1)?.at ?? 0;
    const boundMs = Math.max(20_000, ...this.fired.map(({ kind }) => FAULT_TABLE[kind].boundMs));
    for (const slot of this.slots) {
      if (slot.outstanding > 0 && now - Math.max(last, slot.outstandingSince) > boundMs)
        this.violation(`slot ${slot.index} at level ${slot.plan.level} has waited for ${boundMs} ms`);
      const full = overfull(slot.session, this.browser);
      if (full !== null) this.violation(full);
    }
    for (const stage of now - last > boundMs ? this.guard.lateSince(now - boundMs) : [])
      this.violation(`the recovery of ${stage} has not ended within ${boundMs} ms`);
  }

  /** Stored state was damaged, and may be gone. */
  private get isDamaged(): boolean {
    return this.fired.some(({ kind }) => DAMAGES.has(kind));
  }

  private hasFired(kind: FaultKind): boolean {
    return this.fired.some((one) => one.kind === kind);
  }

  private get slept(): number {
    return this.fired.filter(({ kind }) => kind === "sleep").length * 9 * 3_600_000;
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.loop.after(ms, resolve));
  }

  private note(what: () => string): void {
    if (this.plan.isVerbose) this.log.push(`${this.loop.now.toFixed(1)} ms:   ${what()}`);
  }

  private violation(what: string): void {
    this.log.push(`${this.loop.now.toFixed(1)} ms: ${what}`);
    this.violations.add(what);
  }
}

function originOf(page: number): string {
  return `https://site${page}.example`;
}
