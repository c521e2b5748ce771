import { EXTRA_HOSTS_MAX } from "../../src/base/limits.ts";
import { strategiesOf } from "../../src/fault/ladder.ts";
import {
  FAULT_TOLERANCE_LEVELS,
  type FaultToleranceLevel,
  LEVELS,
  type RecoveryStrategy,
} from "../../src/fault/levels.ts";
import { replicasOf, type SessionOptions } from "../../src/protocol/options.ts";
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
  "hostLies",
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
  /** At level high: the share of runs that a second host does again. */
  readonly spotCheck: number;
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

/** Of so many rounds through all kinds and phases one is at each level, the others at any. */
const ROUNDS = 8;
/** Three hosts a stage cost three times as much: where one session has them, the others are small. */
const VOTING_SHARE = 0.04;
const SINGLE_LEVELS = FAULT_TOLERANCE_LEVELS.filter((level) => !LEVELS[level].votes);

export function planHistory(seed: number): HistoryPlan {
  const random = new Random(seed * 2_654_435_761 + 1);
  const isLong = random.chance(1 / LONG_EVERY);
  const aim = aimOf(seed);
  const slots = Array.from({ length: random.chance(isLong ? 0.5 : 0.05) ? 3 : 2 }, (_, index): SlotPlan => {
    const drawn = random.chance(VOTING_SHARE) ? "critical" : random.pick(SINGLE_LEVELS);
    const level = index === 0 ? (aim.level ?? drawn) : drawn;
    return {
      page: random.below(2),
      level,
      strategy: level === "none" ? "progressive" : random.pick(strategiesOf(level)),
      // Three sessions of three stages would need more standbys than there may be.
      shards: index === 2 ? 1 + random.below(2) : random.pick(isLong ? SHARDS_LONG : SHARDS),
      stateful: random.chance(0.75),
      gpu: random.chance(0.35),
      spotCheck: level === "high" && random.chance(0.2) ? random.pick([0.25, 1]) : 0,
    };
  });
  while (slots.reduce((sum, slot) => sum + extraHosts(slot), 0) > EXTRA_HOSTS_MAX) shrinkLargest(slots);
  const faults = [aimedFault(aim, slots, random)];
  const count = isLong ? 4 + random.below(3) : random.chance(0.1) ? 4 : 3;
  while (faults.length < count) {
    const slot = random.below(slots.length);
    faults.push(planned(pickFault(random), random.pick(PHASES), slot, random));
  }
  return { seed, slots, faults, isLong };
}

/** Beside those that carry its stages. */
function extraHosts({ level, shards, spotCheck }: SlotPlan): number {
  return shards * ((LEVELS[level].standbys ? 1 : 0) + hostsAStage({ level, spotCheck }) - 1);
}

/** Hosts that run a stage of such a session at once. */
export function hostsAStage({ level, spotCheck }: Pick<SlotPlan, "level" | "spotCheck">): number {
  return replicasOf({ faultToleranceLevel: level, spotCheck } as SessionOptions);
}

/** The one with the most hosts gets one shard less. */
function shrinkLargest(slots: SlotPlan[]): void {
  const largest = slots.reduce((a, b) => (extraHosts(b) > extraHosts(a) ? b : a));
  slots[slots.indexOf(largest)] = { ...largest, shards: largest.shards - 1 };
}

const SHARDS = [1, 1, 1, 1, 1, 2, 2, 2, 3] as const;
const SHARDS_LONG = [1, 2, 3] as const;

/** What the first fault is to meet, and whom: every kind in every phase at every level has its turn. Null: any level. */
interface Aim {
  readonly kind: FaultKind;
  readonly phase: Phase;
  readonly level: FaultToleranceLevel | null;
}

function aimOf(seed: number): Aim {
  const cells = FAULTS.length * PHASES.length;
  const turn = seed % cells;
  return {
    kind: FAULTS[turn % FAULTS.length] as FaultKind,
    phase: PHASES[Math.floor(turn / FAULTS.length)] as Phase,
    level: FAULT_TOLERANCE_LEVELS[Math.floor(seed / cells) % ROUNDS] ?? null,
  };
}

function aimedFault({ kind, phase, level }: Aim, slots: readonly SlotPlan[], random: Random): PlannedFault {
  const isDue = level !== null || random.chance(WEIGHTS[kind] ?? 1);
  const slot = level === null ? random.below(slots.length) : 0;
  return planned(isDue ? kind : pickFault(random), phase, slot, random);
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
