import type { FaultToleranceLevel } from "../../src/fault/levels.ts";
import { FAULTS, type FaultKind, LEVELS_PLAYED, PHASES, type Phase } from "./plan.ts";

/** How often each fault hit a session in each phase at each level. */
export class Coverage {
  /** Every cell there is, also those that nothing hit. */
  readonly counts: Record<string, number> = Object.fromEntries(
    FAULTS.flatMap((kind) => PHASES.flatMap((phase) => LEVELS_PLAYED.map((level) => [cellOf(kind, phase, level), 0]))),
  );

  count(kind: FaultKind, phase: Phase, level: FaultToleranceLevel): void {
    this.add(cellOf(kind, phase, level), 1);
  }

  merge(other: Readonly<Record<string, number>>): void {
    for (const [cell, count] of Object.entries(other)) this.add(cell, count);
  }

  private add(cell: string, count: number): void {
    this.counts[cell] = (this.counts[cell] ?? 0) + count;
  }
}

function cellOf(kind: FaultKind, phase: Phase, level: FaultToleranceLevel): string {
  return `${kind} ${phase} ${level}`;
}
