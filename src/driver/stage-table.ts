import { enoughOf } from "../fault/vote.ts";
import type { StageInfo } from "../protocol/events.ts";
import type { Lease } from "../protocol/pool.ts";

/** A session's stages as the pool has told of them; where replicas vote, the hosts of all of them. */
export class StageTable {
  private stages: StageInfo[];

  constructor(
    stages: readonly StageInfo[],
    /** Of the plan. */
    private readonly count: number,
    /** All of them work, or none does. */
    private readonly isTogether = false,
  ) {
    this.stages = [...stages];
  }

  get all(): readonly StageInfo[] {
    return this.stages;
  }

  /** Every stage has its host, or most of its replicas. */
  get canWire(): boolean {
    const needed = enoughOf(this.stages.length / this.count);
    // A checker is no part of what is held.
    const isPart = ({ replicaOf }: StageInfo): boolean => needed > 1 || replicaOf === undefined;
    if (this.isTogether) return this.stages.filter(isPart).every(({ phase }) => phase === "ready");
    return Array.from({ length: this.count }, (_, stage) => this.hostsOf(stage)).every((hosts) => {
      const ready = hosts.filter(({ phase }) => phase === "ready");
      // A checker does not stand in for what it checks.
      return ready.length >= needed && (needed > 1 || ready.some(({ replicaOf }) => replicaOf === undefined));
    });
  }

  get allReady(): boolean {
    return this.stages.every(({ phase }) => phase === "ready");
  }

  isReady(host: number): boolean {
    return this.stages[host]?.phase === "ready";
  }

  /** The stage of the plan that a host runs. */
  stageOf(host: number): number {
    return this.stages[host]?.replicaOf ?? host;
  }

  private hostsOf(stage: number): readonly StageInfo[] {
    return this.stages.filter((host) => (host.replicaOf ?? host.stage) === stage);
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

  /** The hosts of these stages. */
  leases(stages: readonly number[]): Lease[] {
    return stages.flatMap((stage) => this.hostsOf(stage).map(({ hostId, attempt }) => ({ hostId, attempt })));
  }
}

/** Attempts grow, and within one a stage starts, is ready, and is lost, in this order. */
function newer(known: StageInfo | undefined, told: StageInfo): StageInfo {
  if (known === undefined || told.attempt > known.attempt) return told;
  return told.attempt === known.attempt && PHASES.indexOf(told.phase) >= PHASES.indexOf(known.phase) ? told : known;
}
const PHASES: readonly StageInfo["phase"][] = ["starting", "ready", "lost"];
