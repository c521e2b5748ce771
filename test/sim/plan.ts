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
const WEIGHTS: Partial<Record<FaultKind, number>> = { bootsFail: 0.1, hostHang: 0.5, pageReloaded: 0.5 };
/** One history in so many is long: only there are bursts of runs common, and third sessions, and more faults. */
const LONG_EVERY = 20;

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
  /** Much is done between the faults. */
  readonly isLong: boolean;
  /** All that is heard and written is noted. */
  readonly isVerbose?: boolean;
}

export const LEVELS_PLAYED = (Object.keys(LEVELS) as FaultToleranceLevel[]).filter((level) => !LEVELS[level].votes);

export function planHistory(seed: number): HistoryPlan {
  const random = new Random(seed * 2_654_435_761 + 1);
  const isLong = random.chance(1 / LONG_EVERY);
  const slots = Array.from({ length: random.chance(isLong ? 0.5 : 0.05) ? 3 : 2 }, (_, index): SlotPlan => {
    const level = random.pick(LEVELS_PLAYED);
    return {
      page: random.below(2),
      level,
      strategy: level === "none" ? "progressive" : random.pick(strategiesOf(level)),
      // Three sessions of three stages would need more standbys than there may be.
      shards: index === 2 ? 1 + random.below(2) : random.pick(isLong ? SHARDS_LONG : SHARDS),
      stateful: random.chance(0.75),
      gpu: random.chance(0.35),
    };
  });
  const faults = [aimedFault(seed, slots, random)];
  const count = isLong ? 4 + random.below(3) : random.chance(0.1) ? 4 : 3;
  while (faults.length < count) {
    const slot = random.below(slots.length);
    faults.push(planned(pickFault(random), random.pick(PHASES), slot, random));
  }
  return { seed, slots, faults, isLong };
}

const SHARDS = [1, 1, 1, 1, 1, 2, 2, 2, 3] as const;
const SHARDS_LONG = [1, 2, 3] as const;

/** The first fault is the turn of one kind in one phase: so every one of them is met often at every level. */
function aimedFault(seed: number, slots: readonly SlotPlan[], random: Random): PlannedFault {
  const turn = seed % (FAULTS.length * PHASES.length);
  const kind = FAULTS[turn % FAULTS.length] as FaultKind;
  const phase = PHASES[Math.floor(turn / FAULTS.length)] as Phase;
  const isDue = random.chance(WEIGHTS[kind] ?? 1);
  return planned(isDue ? kind : pickFault(random), phase, random.below(slots.length), random);
}

function planned(kind: FaultKind, phase: Phase, slot: number, random: Random): PlannedFault {
  const waitMs = random.next() * (random.chance(0.5) ? 20 : 150);
  return { kind, slot, phase, stage: random.next(), waitMs };
}

function pickFault(random: Random): FaultKind {
  for (;;) {
    const kind = random.pick(FAULTS);
    if (random.chance(WEIGHTS[kind] ?? 1)) return kind;
  }
}
