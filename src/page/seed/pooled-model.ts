import type { PerformanceHistoryTracker } from "../../history/tracker.ts";
import type { SessionEvent, StageInfo } from "../../protocol/events.ts";
import type { FailedHost } from "../../protocol/origin.ts";
import type { Session } from "../session.ts";
import type { Inference, InferOptions, Inputs } from "../tasks.ts";
import type { BrowserChoice } from "./browser-choice.ts";
import { Copies } from "./copies.ts";
import type { ModelLoad } from "./scaling-decision.ts";

export interface PooledModelNeeds {
  readonly session: Session;
  /** What the page keeps of its own operations. */
  readonly tracker: PerformanceHistoryTracker;
  readonly choice: BrowserChoice;
  infer(session: Session, inputs: Inputs, options?: InferOptions): Promise<Inference>;
  /** Opens one session more of the same model, with the same options. */
  openCopy(): Promise<Session>;
  /** An adaptive pool: runs wait here, for a copy that has room. */
  readonly scales: boolean;
  /** A run waits. */
  queued(): void;
  now(): number;
}

/** A model that the pool holds open, in one session or in several that share its runs, and how these went. */
export class PooledModel {
  /** When it was last run, by `needs.now`. */
  lastUsedMs: number;
  private recoveries = 0;
  private mayGrow: boolean;
  private readonly copies: Copies;
  /** Every host that ever carried a stage of it → that stage. */
  private readonly stages = new Map<string, FailedHost>();

  constructor(
    readonly modelType: string,
    readonly modelName: string,
    private readonly needs: PooledModelNeeds,
  ) {
    const { session, scales } = needs;
    this.lastUsedMs = needs.now();
    this.mayGrow = scales && !this.keepsState;
    // One is at work in each stage, and one waits for the first of them.
    const atOnce = this.mayGrow ? session.stages.length + 1 : Number.POSITIVE_INFINITY;
    this.copies = new Copies(session, { atOnce, queued: () => needs.queued(), now: () => needs.now() });
    this.follow(session);
  }

  /** The one that it was opened with. */
  get session(): Session {
    return this.needs.session;
  }
  /** All that serve it. */
  get sessions(): readonly Session[] {
    return this.copies.sessions;
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
    return this.carriers.map(({ hostId }) => hostId);
  }
  get carriers(): readonly StageInfo[] {
    return this.sessions.flatMap(({ stages }) => stages);
  }
  get isBusy(): boolean {
    return this.copies.isBusy;
  }
  get keepsState(): boolean {
    return this.session.plan.stateInputs.length > 0;
  }
  /** Runs that wait for a copy. */
  get queue(): number {
    return this.copies.queue;
  }
  get load(): ModelLoad {
    const { stages } = this.session;
    return {
      name: this.modelName,
      hosts: stages.length,
      weightBytes: stages.reduce((sum, { weightBytes }) => sum + weightBytes, 0),
      queue: this.queue,
      spareIdleSince: this.copies.spareIdleSince,
      mayGrow: this.mayGrow,
    };
  }

  /** Where a host stands that carries one of its stages, or carried it before it was replaced; null: none of this model. */
  readonly stageOf = (browserId: string): FailedHost | null => this.stages.get(browserId) ?? null;

  /** One copy more takes part. False: it could not be opened, and none is tried again. */
  async grow(): Promise<boolean> {
    try {
      const session = await this.needs.openCopy();
      this.follow(session);
      this.copies.add(session);
      return true;
    } catch {
      this.mayGrow = false;
      return false;
    }
  }

  /** An idle copy gives its hosts back. False: none is idle. */
  async shrink(): Promise<boolean> {
    const session = this.copies.takeIdle();
    await session?.release();
    return session !== undefined;
  }

  /** Tensors, or a text by the model's task. Throws as `pool.infer` does. */
  run(inputs: Inputs, options?: InferOptions): Promise<Inference> {
    return this.copies.use((session) => this.runIn(session, inputs, options));
  }

  private async runIn(session: Session, inputs: Inputs, options?: InferOptions): Promise<Inference> {
    const { tracker, now } = this.needs;
    const entry = tracker.startOperation("inference", this.modelName, this.browserId, this.browserType);
    const since = now();
    const before = this.recoveries;
    try {
      const result = await this.needs.infer(session, inputs, options);
      const status = this.recoveries > before ? "recovered" : "completed";
      tracker.completeOperation(entry, { durationMs: now() - since }, status);
      return result;
    } catch (error) {
      if ((error as { code?: string }).code === "ABORTED") tracker.abortOperation(entry);
      else tracker.completeOperation(entry, { durationMs: now() - since }, "failed");
      throw error;
    } finally {
      this.lastUsedMs = now();
    }
  }

  async release(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.release()));
  }

  private follow(session: Session): void {
    const known = ({ hostId, stage }: StageInfo): void =>
      void this.stages.set(hostId, { sessionId: session.id, stage, attempt: 0 });
    for (const stage of session.stages) known(stage);
    session.on((event: SessionEvent) => {
      if (event.type === "stage") known(event.stage);
      if (event.type === "fault") this.recoveries++;
    });
  }
}
