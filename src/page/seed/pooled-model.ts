import type { PerformanceHistoryTracker } from "../../history/tracker.ts";
import type { SessionEvent } from "../../protocol/events.ts";
import type { Session } from "../session.ts";
import type { Inference, InferOptions, Inputs } from "../tasks.ts";
import type { BrowserChoice } from "./browser-choice.ts";

export interface PooledModelNeeds {
  readonly session: Session;
  /** What the page keeps of its own operations. */
  readonly tracker: PerformanceHistoryTracker;
  readonly choice: BrowserChoice;
  infer(inputs: Inputs, options?: InferOptions): Promise<Inference>;
  now(): number;
}

/** A model that the pool holds open, and how its runs went. */
export class PooledModel {
  /** When it was last run, by `needs.now`. */
  lastUsedMs: number;
  private underway = 0;
  private recoveries = 0;
  /** Every host that ever carried a stage of it → that stage. */
  private readonly stages = new Map<string, number>();

  constructor(
    readonly modelType: string,
    readonly modelName: string,
    private readonly needs: PooledModelNeeds,
  ) {
    this.lastUsedMs = needs.now();
    for (const { hostId, stage } of needs.session.stages) this.stages.set(hostId, stage);
    needs.session.on((event) => this.told(event));
  }

  get session(): Session {
    return this.needs.session;
  }
  get browserType(): string {
    return this.needs.choice.browserType;
  }
  /** Why it runs in a browser of this type. */
  get reason(): string {
    return this.needs.choice.reason;
  }
  /** The host of its first stage. */
  get browserId(): string {
    return this.browserIds[0] ?? "";
  }
  get browserIds(): readonly string[] {
    return this.session.stages.map(({ hostId }) => hostId);
  }
  get isBusy(): boolean {
    return this.underway > 0 || this.session.busy;
  }

  /** The stage that a host carries, or carried before it was replaced; null: none of this model. */
  readonly stageOf = (browserId: string): number | null => this.stages.get(browserId) ?? null;

  /** Tensors, or a text by the model's task. Throws as `pool.infer` does. */
  async run(inputs: Inputs, options?: InferOptions): Promise<Inference> {
    const { tracker, now } = this.needs;
    const entry = tracker.startOperation("inference", this.modelName, this.browserId, this.browserType);
    const since = now();
    const before = this.recoveries;
    this.underway++;
    try {
      const result = await this.needs.infer(inputs, options);
      const status = this.recoveries > before ? "recovered" : "completed";
      tracker.completeOperation(entry, { durationMs: now() - since }, status);
      return result;
    } catch (error) {
      if ((error as { code?: string }).code === "ABORTED") tracker.abortOperation(entry);
      else tracker.completeOperation(entry, { durationMs: now() - since }, "failed");
      throw error;
    } finally {
      this.underway--;
      this.lastUsedMs = now();
    }
  }

  release(): Promise<void> {
    return this.session.release();
  }

  private told(event: SessionEvent): void {
    if (event.type === "stage") this.stages.set(event.stage.hostId, event.stage.stage);
    if (event.type === "fault") this.recoveries++;
  }
}
