export const FAULT_TOLERANCE_LEVELS = ["none", "low", "medium", "high", "critical"] as const;
export type FaultToleranceLevel = (typeof FAULT_TOLERANCE_LEVELS)[number];

export const RECOVERY_STRATEGIES = [
  "restart",
  "reconnect",
  "failover",
  "progressive",
  "parallel",
  "coordinated",
] as const;
export type RecoveryStrategy = (typeof RECOVERY_STRATEGIES)[number];

export const RECOVERY_STEPS = ["reconnect", "restart", "failover"] as const;
export type RecoveryStep = (typeof RECOVERY_STEPS)[number];

/** What a level promises when a host fails (seed: "Fault Tolerance Levels"). */
export interface LevelMeaning {
  /** The caller's run completes although a host died. */
  readonly transparent: boolean;
  /** Resident state is checkpointed and comes back. */
  readonly keepsState: boolean;
  /** A second host of each stage holds the shard and the stored state. */
  readonly standbys: boolean;
  /** Several hosts run each stage at once, and the majority's answer counts. */
  readonly votes: boolean;
  readonly steps: readonly RecoveryStep[];
}

export const LEVELS: Readonly<Record<FaultToleranceLevel, LevelMeaning>> = {
  none: { transparent: false, keepsState: false, standbys: false, votes: false, steps: [] },
  low: { transparent: true, keepsState: false, standbys: false, votes: false, steps: ["reconnect", "restart"] },
  medium: { transparent: true, keepsState: true, standbys: false, votes: false, steps: RECOVERY_STEPS },
  high: { transparent: true, keepsState: true, standbys: true, votes: false, steps: RECOVERY_STEPS },
  critical: { transparent: true, keepsState: true, standbys: false, votes: true, steps: RECOVERY_STEPS },
};
