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
  readonly steps: readonly RecoveryStep[];
  /** False: the level is refused with a typed error until voting exists. */
  readonly supported: boolean;
}

export const LEVELS: Readonly<Record<FaultToleranceLevel, LevelMeaning>> = {
  none: { transparent: false, keepsState: false, standbys: false, steps: [], supported: true },
  low: { transparent: true, keepsState: false, standbys: false, steps: ["reconnect", "restart"], supported: true },
  medium: { transparent: true, keepsState: true, standbys: false, steps: RECOVERY_STEPS, supported: true },
  high: { transparent: true, keepsState: true, standbys: true, steps: RECOVERY_STEPS, supported: true },
  critical: { transparent: true, keepsState: true, standbys: false, steps: RECOVERY_STEPS, supported: false },
};
