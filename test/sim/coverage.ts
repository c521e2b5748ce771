import { FAULT_TOLERANCE_LEVELS, type FaultToleranceLevel } from "../../src/fault/levels.ts";
import { FAULTS, type FaultKind, PHASES, type Phase } from "./plan.ts";

/** How often each fault hit a session in each phase at each level: every cell there is, also those that nothing hit. */
export function emptyTable(): Record<string, number> {
  return Object.fromEntries(
    FAULTS.flatMap((kind) =>
      PHASES.flatMap((phase) => FAULT_TOLERANCE_LEVELS.map((level) => [cellOf(kind, phase, level), 0])),
    ),
  );
}

export function cellOf(kind: FaultKind, phase: Phase, level: FaultToleranceLevel): string {
  return `${kind} ${phase} ${level}`;
}
