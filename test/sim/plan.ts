import { strategiesOf } from "../../src/fault/ladder.ts";
import { type FaultToleranceLevel, LEVELS, type RecoveryStrategy } from "../../src/fault/levels.ts";
import { Random } from "../unit/random.ts";

/** What a session is doing when a fault hits it. */
export const PHASES = ["opening", "idle", "running", "storing", "recovering"] as const;
export type Phase = (typeof PHASES)[number];

export const FAULTS = [
  "hostCrash",
  "hostHang",
  "hostSlow",
  "hostNoMemory",
  "deviceLost",
  "hostPagesKilled",
  "tabClosed",
  "tabFrozen",
  "tabDiscarded",
  "workerKilled",
  "bridgeKilled",
  "bridgesAndWorkerKilled",
  "pageReloaded",
  "pageTakesUp",
  "messagesReordered",
  "diskFull",
  "diskSlow",
  "checkpointTorn",
  "checkpointLost",
  "journalTorn",
  "journalLost",
  "sleep",
  "clockJump",
  "bootsFail",
] as const;
export type FaultKind = (typeof FAULTS)[number];

/** Those that take long, in simulated and so in real time, are rarer. */
const WEIGHTS: Partial<Record<FaultKind, number>> = { bootsFail: 0.25, hostHang: 0.7, pageReloaded: 0.7 };

/** One consumer: it opens sessions of one kind, one after the other, for as long as there are faults. */
export interface SlotPlan {
  readonly page: number;
  readonly level: FaultToleranceLevel;
  readonly strategy: RecoveryStrategy;
  readonly shards: number;
  readonly stateful: boolean;
  readonly gpu: boolean;
}

export interface PlannedFault {
  readonly kind: FaultKind;
  readonly slot: number;
  readonly phase: Phase;
  /** Which of the session's stages, as a share of them. */
  readonly stage: number;
  /** After the fault before. */
  readonly waitMs: number;
}

/** All of a history that is decided beforehand. What else is random in it comes from the seed as well. */
export interface HistoryPlan {
  readonly seed: number;
  readonly slots: readonly SlotPlan[];
  readonly faults: readonly PlannedFault[];
  /** All that is heard and written is noted. */
  readonly isVerbose?: boolean;
}

export const LEVELS_PLAYED = (Object.keys(LEVELS) as FaultToleranceLevel[]).filter((level) => !LEVELS[level].votes);

export function planHistory(seed: number): HistoryPlan {
  const random = new Random(seed * 2_654_435_761 + 1);
  const slots = Array.from({ length: random.chance(0.25) ? 3 : 2 }, (_, index): SlotPlan => {
    const level = random.pick(LEVELS_PLAYED);
    return {
      page: random.below(2),
      level,
      strategy: level === "none" ? "progressive" : random.pick(strategiesOf(level)),
      // Three sessions of three stages would need more standbys than there may be.
      shards: 1 + random.below(index === 2 ? 2 : 3),
      stateful: random.chance(0.75),
      gpu: random.chance(0.35),
    };
  });
  const faults = Array.from({ length: 3 + random.below(3) }, (): PlannedFault => {
    const kind = pickFault(random);
    const slot = random.below(slots.length);
    const waitMs = random.next() * (random.chance(0.3) ? 40 : 400);
    return { kind, slot, phase: random.pick(PHASES), stage: random.next(), waitMs };
  });
  return { seed, slots, faults };
}

function pickFault(random: Random): FaultKind {
  for (;;) {
    const kind = random.pick(FAULTS);
    if (random.chance(WEIGHTS[kind] ?? 1)) return kind;
  }
}
