import type { BrowserEvidence, FamilyEvidence, HostProfile } from "../shard/host-profile.ts";
import type { Provider } from "./options.ts";

/** What one stage was measured to take in an earlier session of the model. */
export interface StageMeasurement {
  readonly shards: number;
  readonly stage: number;
  /** Tells plans of as many shards apart. */
  readonly weightBytes: number;
  readonly browserType: string;
  readonly provider: Provider;
  /** Median milliseconds of a run, over `samples` reports. */
  readonly ms: number;
  readonly samples: number;
}

/** What the pool knows when a model is to be cut: pool → the keeper that plans. */
export interface PlanningInput {
  /** One a host that the session may have; empty: nothing is known of this browser yet. */
  readonly hosts: readonly HostProfile[];
  readonly evidence: readonly BrowserEvidence[];
  readonly families: readonly FamilyEvidence[];
  readonly stages: readonly StageMeasurement[];
}
