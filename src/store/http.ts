// What HTTP says about a file (RFC 9110 and 9111), read from the headers that a cross-origin answer shows: ETag only
// where the server exposes it, Last-Modified, Cache-Control and Content-Length always.

/** What tells one version of a file from another. */
export interface Validators {
  readonly etag: string | null;
  readonly lastModified: string | null;
}

export interface AnswerHead extends Validators {
  readonly status: number;
  /** Where the body begins in the file. */
  readonly start: number | null;
  /** Size of the whole file. */
  readonly total: number | null;
  /** How long the answer may be used without asking again. */
  readonly freshMs: number;
}

interface Answer {
  readonly status: number;
  readonly redirected: boolean;
  readonly headers: { get(name: string): string | null };
}

/** No answer counts as fresh for longer, whatever the server says. */
const FRESH_MS_MAX = 24 * 3_600_000;

/** `from`: where the range that was asked for begins. */
export function readHead({ status, redirected, headers }: Answer, from: number): AnswerHead {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  const length = headers.get("content-length");
  const rangeTotal = range === null || range[2] === "*" ? null : Number(range[2]);
  // A server may hide Content-Range; a 206 then begins where it was asked to.
  const start = status !== 206 ? 0 : range === null ? from : Number(range[1]);
  const total = length === null || headers.get("content-encoding") !== null ? null : start + Number(length);
  return {
    status,
    start,
    total: rangeTotal ?? total,
    etag: headers.get("etag"),
    lastModified: headers.get("last-modified"),
    // The last answer of a redirection speaks of another URL than the one that was asked.
    freshMs: redirected ? 0 : freshnessOf(headers.get("cache-control")),
  };
}

function freshnessOf(cacheControl: string | null): number {
  const directives = (cacheControl ?? "").toLowerCase();
  if (/\bno-(cache|store)\b/.test(directives)) return 0;
  const age = /\bmax-age=(\d+)/.exec(directives);
  return age === null ? 0 : Math.min(Number(age[1]) * 1000, FRESH_MS_MAX);
}

/** For If-Range: a strong validator, or null when the rest of a file cannot be told from another file's. */
export function strongValidator({ etag, lastModified }: Validators): string | null {
  return etag !== null && !etag.startsWith("W/") ? etag : etag === null ? lastModified : null;
}

/** For If-None-Match or If-Modified-Since; null when the server gave nothing to ask with. */
export function conditionOf({ etag, lastModified }: Validators): Record<string, string> | null {
  if (etag !== null) return { "if-none-match": etag };
  return lastModified === null ? null : { "if-modified-since": lastModified };
}

/** Whether an answer is of the same version. What only one of the two shows tells nothing. */
export function isSameVersion(known: Validators, now: Validators): boolean {
  if (known.etag !== null && now.etag !== null) return weak(known.etag) === weak(now.etag);
  return known.lastModified !== null && known.lastModified === now.lastModified;
}

/** Whether bytes of the two may be put together: that needs more than being the same to a reader. */
export function isSameBytes(known: Validators, now: Validators): boolean {
  const strong = strongValidator(known);
  return strong !== null && strong === strongValidator(now);
}

function weak(etag: string): string {
  return etag.replace(/^W\//, "");
}

/** Answers that may be another one in a moment. */
export function isTransient(status: number): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504;
}
