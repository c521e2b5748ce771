import { BROWSER_CHECKPOINT_MS } from "../base/limits.ts";
import type { HostResources } from "../protocol/host.ts";
import type { DriverReports } from "../protocol/pool.ts";
import type { TransactionBody } from "../state/pool-state.ts";
import type { PoolNeeds } from "./needs.ts";

/** What hosts hold and do, as transactions of the browsers that they are in the seed's words. */
export class BrowserReports {
  constructor(private readonly needs: PoolNeeds) {}

  resources(hostId: string, { tensorBytes, heapBytes }: HostResources): void {
    const tensors = tensorBytes === 0 ? null : { type: "tensors", bytes: tensorBytes };
    const heap = heapBytes === null ? null : { type: "heap", bytes: heapBytes };
    this.append({ action: "update_browser_resources", data: { hostId, resources: { tensors, heap } } });
    const last = this.needs.journal.state.hosts[hostId]?.checkpoints.at(-1)?.timestamp ?? Number.NEGATIVE_INFINITY;
    // Reports come only while it works: what is idle has nothing new to keep.
    if (this.needs.now() - last >= BROWSER_CHECKPOINT_MS)
      this.append({ action: "create_browser_checkpoint", data: { hostId } });
  }

  /** Every host of the session takes part. What has ended is removed. */
  operation(sessionId: string, { operationId, type, status }: Omit<DriverReports["operation"], "sessionId">): void {
    for (const { hostId } of this.needs.journal.state.sessions[sessionId]?.stages ?? []) {
      if (status === "running") {
        const operation = { type, sessionId, startedAt: this.needs.now() };
        this.append({ action: "add_operation_to_browser", data: { hostId, operationId, operation } });
      } else this.append({ action: "complete_browser_operation", data: { hostId, operationId, status } });
    }
  }

  private append(body: TransactionBody): void {
    // What cannot be written now goes out with the next transaction.
    this.needs.journal.append(body).catch(() => undefined);
  }
}
