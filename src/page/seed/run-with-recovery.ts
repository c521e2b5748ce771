import { messageOf } from "../../base/errors.ts";
import type { Inputs } from "../tasks.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import type { OperationResult } from "./pool-bridge.ts";
import type { ResourcePoolRecoveryManager } from "./recovery-manager.ts";

export interface RunWithRecovery {
  readonly pool: { readonly connectionPool: ConnectionPool };
  readonly modelName: string;
  readonly operation: string;
  readonly inputs: Inputs;
  readonly recoveryManager: ResourcePoolRecoveryManager;
}

export type RecoveredResult =
  | OperationResult
  | (Extract<OperationResult, { success: true }> & {
      readonly recovered: true;
      readonly recoveryBrowser: string;
      readonly originalError: string;
    });

/**
 * Runs a model; when that fails, its host is recovered and the run made once more. Sessions at level medium recover by themselves
 * and fail no run; this is for the levels below it, and for failures that only the page sees.
 */
export async function runWithRecovery(run: RunWithRecovery): Promise<RecoveredResult> {
  const { pool, modelName, operation, inputs, recoveryManager } = run;
  if (operation !== "inference") return { success: false, error: `There is no operation ${operation}; use inference.` };
  let browserId = "";
  try {
    const model = await pool.connectionPool.getModel(modelName);
    browserId = model.browserId;
    const since = performance.now();
    const result = await model.run(inputs);
    const metrics = { durationMs: performance.now() - since };
    return { success: true, result, browserId: model.browserId, browserType: model.browserType, metrics };
  } catch (error) {
    if (browserId === "") return { success: false, error: messageOf(error) };
    const recovery = await recoveryManager.handleBrowserFailure(browserId, error);
    if (!recovery.success) return { success: false, error: recovery.error ?? messageOf(error) };
    const again = await recoveryManager.recoverOperation(modelName, operation, inputs);
    if (!again.success) return again;
    return { ...again, recovered: true, recoveryBrowser: recovery.browserId, originalError: messageOf(error) };
  }
}
