import type { StageInfo } from "../protocol/events.ts";
import type { Lease } from "../protocol/pool.ts";

/** A session's stages as the pool has told of them. */
export class StageTable {
  private stages: StageInfo[];

  constructor(stages: readonly StageInfo[]) {
    this.stages = [...stages];
  }

  get all(): readonly StageInfo[] {
    return this.stages;
  }

  get allReady(): boolean {
    return this.stages.every(({ phase }) => phase === "ready");
  }

  /** Events and answers come different ways: what was told before may arrive after it. */
  told(stage: StageInfo): void {
    this.stages[stage.stage] = newer(this.stages[stage.stage], stage);
  }

  /** Returns those that are not what they were. */
  toldAll(stages: readonly StageInfo[]): readonly StageInfo[] {
    const before = this.stages;
    this.stages = stages.map((stage, index) => newer(before[index], stage));
    return this.stages.filter(
      ({ attempt, phase }, index) => attempt !== before[index]?.attempt || phase !== before[index]?.phase,
    );
  }

  /** False: it is news of a host that was replaced meanwhile. */
  lost(stage: number, attempt: number): boolean {
    const known = this.stages[stage];
    if (known === undefined || attempt < known.attempt) return false;
    this.stages[stage] = { ...known, attempt, phase: "lost" };
    return true;
  }

  allLost(): void {
    this.stages = this.stages.map((stage) => ({ ...stage, phase: "lost" }));
  }

  leases(stages: readonly number[]): Lease[] {
    return stages.flatMap((stage) => {
      const known = this.stages[stage];
      return known === undefined ? [] : [{ hostId: known.hostId, attempt: known.attempt }];
    });
  }
}

/** Attempts grow, and within one a stage starts, is ready, and is lost, in this order. */
function newer(known: StageInfo | undefined, told: StageInfo): StageInfo {
  if (known === undefined || told.attempt > known.attempt) return told;
  return told.attempt === known.attempt && PHASES.indexOf(told.phase) >= PHASES.indexOf(known.phase) ? told : known;
}
const PHASES: readonly StageInfo["phase"][] = ["starting", "ready", "lost"];
