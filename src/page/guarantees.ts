import { LEVELS } from "../fault/levels.ts";
import type { StageInfo } from "../protocol/events.ts";
import type { SessionOptions } from "../protocol/options.ts";
import type { SessionInfo } from "../protocol/pool.ts";

export interface Guarantees {
  /** True: what is recovered equals the undisturbed result bit for bit. */
  readonly exact: boolean;
  readonly reason: string;
  /** Per stage, what dies together with it. */
  readonly crashDomains: readonly string[];
}

export function guaranteesOf(options: SessionOptions, stages: readonly StageInfo[], stateful: boolean): Guarantees {
  const level = options.faultToleranceLevel;
  const crashDomains = stages.map(({ place, provider, hostId }) => {
    const process = place === "tab" ? `the process of host ${hostId}` : "the offscreen document's process";
    return provider === "webgpu" ? `${process}, and the GPU process` : process;
  });
  if (!LEVELS[level].transparent) return { exact: false, reason: "Level none does not recover runs.", crashDomains };
  if (stateful && !LEVELS[level].keepsState)
    return { exact: false, reason: "Level low does not recover state: a fault ends with STATE_LOST.", crashDomains };
  const standby = LEVELS[level].standbys
    ? " Each stage has a standby in a process of its own; all pages of host tabs, and the GPU, are processes that they share."
    : "";
  const other = stages.find(({ provider }) => provider !== "wasm");
  if (other !== undefined) {
    return {
      exact: false,
      reason: `Stage ${other.stage} runs on ${other.provider}: results after a recovery agree within rounding, and wasm takes over when the device is lost twice.${standby}`,
      crashDomains,
    };
  }
  return {
    exact: true,
    reason: `All stages run on the same wasm build with one thread, so a replayed run gives the same bits.${standby}`,
    crashDomains,
  };
}

/** Whether state is stored, so that runs which are not durable yet may be bounded. */
export function keepsState({ options, plan }: Pick<SessionInfo, "options" | "plan">): boolean {
  return LEVELS[options.faultToleranceLevel].keepsState && plan.stateInputs.length > 0;
}
