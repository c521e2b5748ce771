/** The seed's seven categories of host failure. Errors that are the caller's own carry UNKNOWN and a code. */
export const ERROR_CATEGORIES = ["CONNECTION", "CRASH", "MEMORY", "TIMEOUT", "WEBGPU", "WEBNN", "UNKNOWN"] as const;
export type ErrorCategory = (typeof ERROR_CATEGORIES)[number];

/** Every code a page can meet, with the category it has unless a fault says otherwise. */
export const ERROR_CODES = {
  EXTENSION_ABSENT: "CONNECTION",
  EXTENSION_DISCONNECTED: "CONNECTION",
  PERMISSION_DENIED: "UNKNOWN",
  SESSION_IN_USE: "UNKNOWN",
  SESSION_UNKNOWN: "UNKNOWN",
  SESSION_RELEASED: "UNKNOWN",
  SESSION_PAUSED: "UNKNOWN",
  SESSION_BUSY: "UNKNOWN",
  HANDLE_UNKNOWN: "UNKNOWN",
  BAD_OPTIONS: "UNKNOWN",
  BAD_FEEDS: "UNKNOWN",
  BAD_MODEL: "UNKNOWN",
  UNSUPPORTED_OP: "UNKNOWN",
  TOO_MANY_SHARDS: "UNKNOWN",
  TOO_MANY_HOSTS: "UNKNOWN",
  MODEL_FETCH_FAILED: "CONNECTION",
  MODEL_FETCH_STALLED: "TIMEOUT",
  MODEL_INTEGRITY: "UNKNOWN",
  MODEL_DELETED: "UNKNOWN",
  QUOTA_EXCEEDED: "MEMORY",
  OUT_OF_MEMORY: "MEMORY",
  PROVIDER_UNAVAILABLE: "UNKNOWN",
  PLACE_IN_USE: "UNKNOWN",
  LEVEL_UNSUPPORTED: "UNKNOWN",
  HOST_LOST: "CRASH",
  STATE_LOST: "CRASH",
  RECOVERY_FAILED: "CRASH",
  CIRCUIT_OPEN: "UNKNOWN",
  RUN_FAILED: "UNKNOWN",
  VOTE_SPLIT: "UNKNOWN",
  ABORTED: "UNKNOWN",
  STORE_NEWER: "UNKNOWN",
  LIMIT_REACHED: "UNKNOWN",
  INTERNAL: "UNKNOWN",
} as const satisfies Record<string, ErrorCategory>;
export type ErrorCode = keyof typeof ERROR_CODES;

/** An error as data: what crosses a context boundary. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly category: ErrorCategory;
  /** One sentence that says what happened and what to do about it. */
  readonly message: string;
  /** The underlying message, when there was one. */
  readonly cause?: string;
  /** Of TOO_MANY_SHARDS: the most that would do. */
  readonly limit?: number;
}

/** What a page's promise rejects with. `message` says what to do; `code` and `category` are for programs. */
export class HoldfastError extends Error {
  override readonly name = "HoldfastError";
  readonly code: ErrorCode;
  readonly category: ErrorCategory;
  /** Of TOO_MANY_SHARDS: the most that would do. */
  readonly limit: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { category?: ErrorCategory; cause?: unknown; limit?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.category = options.category ?? ERROR_CODES[code];
    this.limit = options.limit;
  }

  static from(data: ErrorData): HoldfastError {
    const cause = data.cause === undefined ? {} : { cause: data.cause };
    return new HoldfastError(data.code, data.message, { category: data.category, limit: data.limit, ...cause });
  }
}

/** Turns anything thrown into data; what is not ours becomes `fallback`. */
export function toErrorData(error: unknown, fallback: ErrorCode = "INTERNAL"): ErrorData {
  if (error instanceof HoldfastError) {
    const cause = error.cause === undefined ? {} : { cause: messageOf(error.cause) };
    const limit = error.limit === undefined ? {} : { limit: error.limit };
    return { code: error.code, category: error.category, message: error.message, ...cause, ...limit };
  }
  return { code: fallback, category: ERROR_CODES[fallback], message: messageOf(error) };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function assertNever(value: never): never {
  throw new Error(`unexpected value ${JSON.stringify(value)}`);
}
