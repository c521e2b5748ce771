import type { Family } from "./family.ts";
import type { BrowserEvidence, FamilyEvidence, HostProfile } from "./host-profile.ts";

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
/** Runs of the very model, in each of two browsers, from which on its family is not asked. */
const OWN_RUNS_MIN = 10;
/** A browser that always fails is taken to need this many tries. */
const TRIES_MAX = 20;

/** How much longer than others a host is expected to take for a family (below 1: shorter), before and after what history says. */
export interface Expectation {
  readonly prior: number;
  readonly factor: number;
  readonly samples: number;
  /** Where the samples are from; null: there are none. */
  readonly source: "model" | "family" | null;
}

/** Browsers whose strength is a family. */
export function strongAt(family: Family): readonly string[] {
  return Object.keys(STRENGTHS).filter((browser) => STRENGTHS[browser]?.family === family);
}

/**
 * The table's guess, drawn towards what was measured the more runs there are: (10 × prior + n × measured) / (10 + n), where measured
 * is the browser's mean duration, failed tries included, over that of all browsers with history. The model's own history
 * counts once two browsers, this one among them, have run it often; before, that of its family does where there is any.
 */
export function expectation(
  host: HostProfile,
  family: Family | null,
  evidence: readonly BrowserEvidence[],
  families: readonly FamilyEvidence[] = [],
): Expectation {
  const strength = STRENGTHS[host.browserType];
  const forFamily = strength !== undefined && strength.family === family ? FAMILY_FACTOR : 1;
  const prior = forFamily * (strength?.hasAsset(host) ? ASSET_FACTOR : 1);
  const drawn = (measured: number, samples: number): number =>
    (prior * PRIOR_SAMPLES + measured * samples) / (PRIOR_SAMPLES + samples);
  const own = evidence.find((row) => row.browserType === host.browserType);
  const kin = families.find((row) => row.browserType === host.browserType && row.family === family);
  if (kin !== undefined && kin.samples > 0 && !isEnough(own, evidence))
    return { prior, factor: drawn(kin.relative, kin.samples), samples: kin.samples, source: "family" };
  const mean = meanDuration(evidence);
  if (own === undefined || own.samples <= 0 || mean === null) return { prior, factor: prior, samples: 0, source: null };
  const measured = ((own.avgDurationMs ?? mean) * tries(own.successRate)) / mean;
  return { prior, factor: drawn(measured, own.samples), samples: own.samples, source: "model" };
}

/** One browser alone can only be compared with itself. */
function isEnough(own: BrowserEvidence | undefined, evidence: readonly BrowserEvidence[]): boolean {
  const often = evidence.filter(({ samples }) => samples >= OWN_RUNS_MIN);
  return own !== undefined && often.includes(own) && often.length > 1;
}

/** The mean over browsers of how long a run takes until it succeeds. */
function meanDuration(evidence: readonly BrowserEvidence[]): number | null {
  const known = evidence.filter((row) => row.samples > 0 && row.avgDurationMs !== null && row.avgDurationMs > 0);
  if (known.length === 0) return null;
  return known.reduce((sum, row) => sum + (row.avgDurationMs ?? 0) * tries(row.successRate), 0) / known.length;
}

/** How often an operation is made until it succeeds. */
export function tries(successRate: number): number {
  return Math.min(TRIES_MAX, 1 / Math.max(successRate, 1e-9));
}
