import { Pool } from "./pool.ts";

export { Tensor } from "onnxruntime-common";
export { type ErrorCategory, type ErrorCode, HoldfastError } from "../base/errors.ts";
export type { OwnSession } from "../protocol/client.ts";
export type { SessionEvent, StageInfo } from "../protocol/events.ts";
export type { Guarantees } from "./guarantees.ts";
export type { ModelOptions, TokenizerSource } from "./model-registry.ts";
export type { Picked, PickedSource } from "./picked.ts";
export type { CreateSessionOptions, Pool, ResumeSessionOptions } from "./pool.ts";
export type { GenerateOptions, ResumeGenerationOptions, RunOptions, Token } from "./run-options.ts";
export type { Session } from "./session.ts";
export type { FileSource, HubModel, Integrity, ModelSource, RemoteFile, SplitModel } from "./source.ts";

/** The id that the manifest's key fixes. */
const EXTENSION_ID = "doggpnogehmihcamhdfbemikhhhaibda";

export interface ConnectOptions {
  /** Id of another build of the extension. */
  readonly extensionId?: string;
  /** How long to wait for the extension to answer, milliseconds; the user's answer is waited for without limit. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Connects the page to Holdfast. The first time, the user is asked whether this site may. Throws HoldfastError:
 * EXTENSION_ABSENT, PERMISSION_DENIED, ABORTED.
 */
export function connect({ extensionId = EXTENSION_ID, timeoutMs, signal }: ConnectOptions = {}): Promise<Pool> {
  return Pool.connect(extensionId, timeoutMs, signal);
}
