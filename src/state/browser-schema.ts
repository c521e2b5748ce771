import * as v from "valibot";
import { HoldfastError } from "../base/errors.ts";
import { BROWSER_CHECKPOINTS_KEPT } from "../base/limits.ts";
import { BROWSER_STATUSES, type BrowserCheckpoint, type BrowserRecord } from "./browser-record.ts";
import { jsonCopy } from "./canonical.ts";

const ENTRY = v.record(v.string(), v.any());
const CONTENT = {
  status: v.picklist(BROWSER_STATUSES),
  models: v.record(v.string(), ENTRY),
  operations: v.record(v.string(), ENTRY),
  resources: v.record(v.string(), ENTRY),
  metrics: ENTRY,
};
const CHECKPOINT = v.object({ timestamp: v.number(), browserId: v.string(), browserType: v.string(), ...CONTENT });
const BROWSER = v.object({
  browserId: v.string(),
  browserType: v.string(),
  ...CONTENT,
  lastHeartbeat: v.number(),
  recoveryAttempts: v.pipe(v.number(), v.integer(), v.minValue(0)),
  checkpoints: v.pipe(v.array(CHECKPOINT), v.maxLength(BROWSER_CHECKPOINTS_KEPT)),
});

/** A BrowserState as JSON. */
export interface BrowserStateJson extends BrowserRecord {
  readonly browserId: string;
}

/** Throws BAD_OPTIONS when the data is no checkpoint. */
export function checkpointOf(data: unknown): BrowserCheckpoint {
  return parsed(CHECKPOINT, data, "checkpoint of a browser") as BrowserCheckpoint;
}

/** Throws BAD_OPTIONS when the data is no browser state. */
export function browserOf(data: unknown): BrowserStateJson {
  return parsed(BROWSER, data, "browser state") as BrowserStateJson;
}

function parsed(schema: v.GenericSchema, data: unknown, what: string): unknown {
  const result = v.safeParse(schema, jsonCopy(data));
  if (result.success) return result.output;
  const [issue] = result.issues;
  const where = v.getDotPath(issue) ?? "the whole";
  throw new HoldfastError(
    "BAD_OPTIONS",
    `This is no ${what} (${where}: ${issue.message}). Give one that toJSON or createCheckpoint made.`,
  );
}
