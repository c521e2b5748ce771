import { VOTE_TOLERANCE } from "../base/limits.ts";
import { LEVELS } from "../fault/levels.ts";
import type { StageInfo } from "../protocol/events.ts";
import { replicasOf, type SessionOptions } from "../protocol/options.ts";
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
  const second = secondHosts(options, stages);
  const other = stages.find(({ provider }) => provider !== "wasm");
  if (other !== undefined) {
    return {
      exact: false,
      reason: `Stage ${other.stage} runs on ${other.provider}: results after a recovery agree within rounding, and wasm takes over when the device is lost twice.${second}`,
      crashDomains,
    };
  }
  return {
    exact: true,
    reason: `All stages run on the same wasm build with one thread, so a replayed run gives the same bits.${second}`,
    crashDomains,
  };
}

/** What of other hosts the level has, and what would take all of them. */
function secondHosts(options: SessionOptions, stages: readonly StageInfo[]): string {
  const { standbys, votes } = LEVELS[options.faultToleranceLevel];
  const { spotCheck = 0 } = options;
  const checks =
    spotCheck > 0 ? ` A third host of each stage does ${spotCheck} of all runs again, and answers are compared.` : "";
  if (standbys)
    return ` Each stage has a standby in a process of its own; all pages of host tabs, and the GPU, are processes that they share.${checks}`;
  if (!votes) return "";
  const onGpu = stages.filter(({ provider }) => provider === "webgpu").length;
  const gpu =
    onGpu > 1 ? ` ${onGpu} of the voters share the GPU process: what goes wrong there can outvote the rest.` : "";
  const providers = new Set(stages.map(({ provider }) => provider));
  const tolerance =
    providers.size > 1
      ? ` Voters of different providers agree within ${VOTE_TOLERANCE} of a tensor's largest magnitude, and must choose the same token; their states are not compared.`
      : " Voters are compared bit for bit, outputs and new rows of state.";
  return ` ${replicasOf(options)} hosts run each stage and vote, each in a process of its own; the pages of their tabs are one process.${tolerance}${gpu}`;
}

/** Whether state is stored, so that runs which are not durable yet may be bounded. */
export function keepsState({ options, plan }: Pick<SessionInfo, "options" | "plan">): boolean {
  return LEVELS[options.faultToleranceLevel].keepsState && plan.stateInputs.length > 0;
}
