import type { Family } from "./family.ts";

/** What a plan may count on of one host: from its capability report, calibrated by its history. */
export interface HostProfile {
  /** "chrome", "edge", "firefox" or what the browser calls itself. */
  readonly browserType: string;
  readonly provider: "webgpu" | "webnn" | "wasm";
  /** Bytes of weights, state and activations that the host may hold. */
  readonly memoryBytes: number;
  /** The largest single tensor that the provider takes, in bytes; null: no limit but memory. */
  readonly bufferBytesMax: number | null;
  readonly threads: number;
  /** Measured or assumed speed: floating-point operations and bytes of weights read per millisecond. */
  readonly flopsPerMs: number;
  readonly bytesPerMs: number;
  /** Sending to the next host: a fixed time and bytes per millisecond. */
  readonly hopMs: number;
  readonly hopBytesPerMs: number;
}

/** What history knows of one browser type for one family of models, compared where several types ran the very same work. */
export interface FamilyEvidence {
  readonly browserType: string;
  readonly family: Family;
  readonly samples: number;
  /** Its time over the mean of all types that did the same, failed tries included: below 1, it is faster than others. */
  readonly relative: number;
}

/** What history knows of one browser type for the model that is planned. */
export interface BrowserEvidence {
  readonly browserType: string;
  readonly samples: number;
  readonly avgDurationMs: number | null;
  /** 0 to 1 over finished operations. */
  readonly successRate: number;
}
