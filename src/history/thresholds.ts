// The seed's thresholds, each with its unit. Decisions about history read them here and nowhere else.

/** Entries that a tracker keeps; the oldest finished one goes first. */
export const HISTORY_ENTRIES_MAX = 1_000;
/** The first and the last so many operations are compared; with fewer than both together there is no trend. */
export const TREND_WINDOW_ENTRIES = 10;
/** A trend is told from the newest of this many operations: every pair of them is looked at. */
export const TREND_ENTRIES_MAX = 200;
/** How far back a trend looks unless it is told otherwise. */
export const TREND_TIME_WINDOW_MS = 3_600_000;
/** A slope is a trend when it is steeper than this, in milliseconds per operation, … */
export const TREND_SLOPE_MIN_MS = 0.5;
/** … and would be found by chance more rarely than this. */
export const TREND_P_MAX = 0.05;
/** A share of failed operations above this is high. */
export const FAILURE_RATE_HIGH = 0.1;
/** Operations that take longer than this on average are slow. */
export const SLOW_OPERATION_MS = 1_000;
/** With this many operations a recommendation is as sure as their success rate allows. */
export const CONFIDENT_ENTRIES = 10;
/** Measured times of each stage before a number of shards is compared with others. */
export const SHARD_COUNT_ENTRIES_MIN = 3;

/** Characters of a name, and measurements of one entry, that are kept. */
export const NAME_CHARS_MAX = 500;
export const METRICS_MAX = 32;

/** Capability reports, one a browser type and provider, that are kept. */
export const REPORTS_MAX = 32;
