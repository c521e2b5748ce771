import { HoldfastError, toErrorData } from "../base/errors.ts";

/** What runs say of a state that a dead host took with it. */
export const STATE_LOST = toErrorData(
  new HoldfastError(
    "STATE_LOST",
    "A host died and this level keeps no state. Start again with { reset: true }, or use level medium.",
  ),
);
