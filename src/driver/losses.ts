import { type ErrorData, HoldfastError } from "../base/errors.ts";
import type { FaultToleranceLevel } from "../fault/levels.ts";

/** What runs under way fail with when a host dies; null: they complete. */
export function lossError(
  level: FaultToleranceLevel,
  stateful: boolean,
  category: ErrorData["category"],
): HoldfastError | null {
  if (level === "none")
    return new HoldfastError(
      "HOST_LOST",
      "The host died and level none does not recover runs. Run again, or use a higher faultToleranceLevel.",
      { category },
    );
  // A stateless run is tried again.
  if (level === "low" && stateful)
    return new HoldfastError(
      "STATE_LOST",
      "The host died and level low keeps no state. Start again with reset, or use level medium.",
      { category },
    );
  return null;
}
