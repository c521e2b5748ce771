/** The model of the demo: a very small Llama that read nothing but Moby-Dick, run in shards. */
import type { Pool, Session } from "../page/index.ts";
import type { SessionEvent } from "../protocol/events.ts";

const MODEL = "/models/moby-llama/onnx/model.onnx";
const TOKENIZER = "/models/moby-llama/tokenizer.json";

export const FIRST_LINE = "Call me Ishmael.";

export function openMoby(
  pool: Pool,
  shards: number,
  onEvent: (event: SessionEvent) => void,
  signal?: AbortSignal,
): Promise<Session> {
  return pool.createSession(new URL(MODEL, location.href), {
    shards,
    faultToleranceLevel: "medium",
    recoveryStrategy: "progressive",
    tokenizer: new URL(TOKENIZER, location.href),
    onEvent,
    ...(signal ? { signal } : {}),
  });
}
