import type { LogBody, Stamp } from "./log-record.ts";
import type { StageAssignment } from "./pool-state.ts";
import { stageModelId } from "./reducer.ts";

/** A transaction as the seed writes it. */
export interface ExportedTransaction {
  readonly id: string;
  /** Epoch seconds. */
  readonly timestamp: number;
  readonly action: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly sequence: number;
}

/** The seed's names for what is called otherwise here. */
const NAMES: Readonly<Record<string, string>> = {
  hostId: "browser_id",
  fromHostId: "from_browser_id",
  operation: "operation_state",
  resource: "resource_state",
};
/** Moments, in epoch milliseconds here and in seconds there. */
const MOMENTS: ReadonlySet<string> = new Set([
  "timestamp",
  "at",
  "openedAt",
  "changedAt",
  "ownerLostAt",
  "startedAt",
  "lastHeartbeat",
]);
/** Keys in these are names that users and models chose: they stay as they are. */
const VERBATIM: ReadonlySet<string> = new Set([
  "models",
  "operations",
  "resources",
  "metrics",
  "modelState",
  "operation",
  "resource",
  "stateBindings",
]);
/** Never leaves the extension: whoever has it may take a session over. */
const HIDDEN: ReadonlySet<string> = new Set(["secret"]);

export function exportTransaction({ id, timestamp, action, data, sequence }: LogBody & Stamp): ExportedTransaction {
  const told = action === "add_model_to_browser" ? modelOf(data as StageAssignment | object) : data;
  return { id, timestamp: timestamp / 1000, action, data: exported(told) as ExportedTransaction["data"], sequence };
}

/** A stage of a session, as the seed writes a model. */
function modelOf(data: StageAssignment | object): unknown {
  if (!("sessionId" in data)) return data;
  const { sessionId, stage, hostId, attempt } = data;
  const modelState = { session_id: sessionId, stage, attempt };
  return { hostId, modelId: stageModelId({ sessionId, stage }), modelState };
}

function exported(value: unknown): unknown {
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(exported);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => !HIDDEN.has(key));
  return Object.fromEntries(
    entries.map(([key, entry]) => [
      NAMES[key] ?? snakeCase(key),
      VERBATIM.has(key) ? entry : MOMENTS.has(key) && typeof entry === "number" ? entry / 1000 : exported(entry),
    ]),
  );
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
