import type { Family } from "./family.ts";
import type { BrowserEvidence, HostProfile } from "./host-profile.ts";

/** What a browser is good at: a kind of model, and a way of running it. */
interface Strength {
  readonly family: Family;
  readonly asset: string;
  readonly hasAsset: (host: HostProfile) => boolean;
}

/** The seed's table of browser strengths. */
const STRENGTHS: Readonly<Record<string, Strength>> = {
  chrome: { family: "vision", asset: "parallel processing", hasAsset: (host) => host.threads > 1 },
  firefox: { family: "audio", asset: "compute shaders", hasAsset: (host) => host.provider === "webgpu" },
  edge: { family: "text", asset: "WebNN", hasAsset: (host) => host.provider === "webnn" },
};
/** Time that a strength is believed to save before anything was measured, as a factor. */
const FAMILY_FACTOR = 0.8;
const ASSET_FACTOR = 0.95;
/** How many measured runs weigh as much as the table. */
const PRIOR_SAMPLES = 10;
/** A browser that always fails is taken to need this many tries. */
const TRIES_MAX = 20;

/** How much longer than others a host is expected to take for a family (below 1: shorter), before and after what history says. */
export interface Expectation {
  readonly prior: number;
  readonly factor: number;
  readonly samples: number;
}

/** Browsers whose strength is a family. */
export function strongAt(family: Family): readonly string[] {
  return Object.keys(STRENGTHS).filter((browser) => STRENGTHS[browser]?.family === family);
}

/**
 * The table's guess, drawn towards what was measured the more runs there are: (10 × prior + n × measured) / (10 + n), where measured
 * is the browser's mean duration, failed tries included, over that of all browsers with history.
 */
export function expectation(
  host: HostProfile,
  family: Family | null,
  evidence: readonly BrowserEvidence[],
): Expectation {
  const strength = STRENGTHS[host.browserType];
  const forFamily = strength !== undefined && strength.family === family ? FAMILY_FACTOR : 1;
  const prior = forFamily * (strength?.hasAsset(host) ? ASSET_FACTOR : 1);
  const own = evidence.find((row) => row.browserType === host.browserType);
  const mean = meanDuration(evidence);
  if (own === undefined || own.samples <= 0 || mean === null) return { prior, factor: prior, samples: 0 };
  const measured = ((own.avgDurationMs ?? mean) * tries(own)) / mean;
  const factor = (prior * PRIOR_SAMPLES + measured * own.samples) / (PRIOR_SAMPLES + own.samples);
  return { prior, factor, samples: own.samples };
}

/** The mean over browsers of how long a run takes until it succeeds. */
function meanDuration(evidence: readonly BrowserEvidence[]): number | null {
  const known = evidence.filter((row) => row.samples > 0 && row.avgDurationMs !== null && row.avgDurationMs > 0);
  if (known.length === 0) return null;
  return known.reduce((sum, row) => sum + (row.avgDurationMs ?? 0) * tries(row), 0) / known.length;
}

function tries({ successRate }: BrowserEvidence): number {
  return Math.min(TRIES_MAX, 1 / Math.max(successRate, 1e-9));
}
