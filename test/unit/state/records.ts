import type { FaultRecord, HostRecord, SessionRecord } from "../../../src/state/pool-state.ts";

export const host = (hostId: string, changes: Partial<HostRecord> = {}): HostRecord => ({
  hostId,
  place: "tab",
  tabId: null,
  origin: "https://a.example",
  sessionId: "s",
  stage: 0,
  status: "initialized",
  openedAt: 1,
  ...changes,
});

export const session = (sessionId: string, changes: Partial<SessionRecord> = {}): SessionRecord => ({
  sessionId,
  secret: "secret",
  origin: "https://a.example",
  model: "m",
  options: {
    shards: 2,
    shardingStrategy: "layer_based",
    faultToleranceLevel: "medium",
    recoveryStrategy: "progressive",
    checkpointIntervalMs: 60_000,
    maxRecoveryAttempts: 3,
    executionProviders: null,
    place: "tab",
    stateBindings: "auto",
  },
  status: "opening",
  bridgeId: "b",
  openId: "open-1",
  ownerLostAt: null,
  planId: null,
  plan: null,
  stages: [],
  gpuLosses: 0,
  durableRun: -1,
  promptIds: [],
  ids: [],
  changedAt: 1,
  ...changes,
});

export const fault = (changes: Partial<FaultRecord> = {}): FaultRecord => ({
  at: 1,
  stage: 0,
  hostId: "h",
  category: "CRASH",
  signal: "frame process gone",
  sessionId: "s",
  recoveredMs: null,
  ...changes,
});
