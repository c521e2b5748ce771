import { type ErrorCode, HoldfastError } from "../../src/base/errors.ts";
import type { Session } from "../../src/page/session.ts";
import type { SessionEvent } from "../../src/protocol/events.ts";
import { BAD_ID, idsTensor, VOCABULARY } from "../unit/driver/world/model.ts";
import { Random } from "../unit/random.ts";
import { Oracle } from "./checks/oracle.ts";
import type { SlotPlan } from "./plan.ts";
import { nameOf } from "./world/models.ts";
import type { WebPage } from "./world/web-page.ts";

/** What a slot needs of the history that it is part of. */
export interface SlotNeeds {
  readonly seed: number;
  readonly now: () => number;
  sleep(ms: number): Promise<void>;
  page(): WebPage;
  /** All faults were made: the slot may end after one more step that succeeds. */
  isOver(): boolean;
  /** Whether a session of this slot that began then may fail so. */
  mayFail(slot: Slot, code: ErrorCode, since: number, isOpening: boolean): boolean;
  violation(what: string): void;
  note(what: string): void;
  event(slot: Slot, event: SessionEvent): void;
}

interface Answer {
  readonly logits: number[] | null;
  readonly code: ErrorCode | null;
}

/** One consumer: opens sessions and works in them, and holds every answer against the undisturbed model. */
export class Slot {
  session: Session | null = null;
  isOpening = false;
  isConnecting = false;
  /** Calls that are not settled, and since when the oldest is. */
  outstanding = 0;
  outstandingSince = 0;
  /** The session is to be given up for a new one. */
  wantsReopen = false;
  isDone = false;
  private oracle: Oracle;
  private openedAt = 0;
  private started = false;
  /** Steps since the last fault. */
  quietSteps = 0;
  private readonly random: Random;

  constructor(
    readonly plan: SlotPlan,
    readonly index: number,
    private readonly needs: SlotNeeds,
  ) {
    this.random = new Random(needs.seed * 31 + index);
    this.oracle = new Oracle(plan.shards, plan.stateful);
  }

  async play(): Promise<void> {
    for (;;) {
      const page = this.needs.page();
      const succeeded = await this.unlessGone(page, this.step());
      // Its page went away, and its session with it.
      if (succeeded === "gone") this.forget();
      else if (this.needs.isOver() && succeeded) break;
    }
    await this.release();
    this.isDone = true;
  }

  /** True: it did all that it was to do. */
  private async step(): Promise<boolean> {
    const { random, plan } = this;
    if (this.wantsReopen) await this.release();
    this.wantsReopen = false;
    if (this.session === null) return this.open();
    // The longer nothing happens, the less it does: what matters is what it does around faults.
    const { quietSteps } = this;
    this.quietSteps++;
    await this.needs.sleep(random.next() * Math.min(4_000, 15 * 1.5 ** quietSteps));
    if (this.wantsReopen) return false;
    return plan.stateful && random.chance(0.4) ? this.generate() : this.runs();
  }

  private async open(): Promise<boolean> {
    const { plan, needs } = this;
    this.isOpening = true;
    this.openedAt = needs.now();
    try {
      this.isConnecting = true;
      const pool = await this.counted(needs.page().connect());
      this.isConnecting = false;
      const model = nameOf(plan);
      pool.registerModel(model, new Uint8Array(16));
      this.session = await this.counted(
        pool.createSession(model, {
          shards: plan.shards,
          faultToleranceLevel: plan.level,
          recoveryStrategy: plan.strategy,
          executionProviders: plan.gpu ? ["webgpu", "wasm"] : null,
          onEvent: (event) => needs.event(this, event),
        }),
      );
      this.oracle = new Oracle(plan.shards, plan.stateful);
      this.started = false;
      return true;
    } catch (error) {
      this.check(codeOf(error), true);
      await needs.sleep(200);
      return false;
    } finally {
      this.isOpening = false;
      this.isConnecting = false;
    }
  }

  private async runs(): Promise<boolean> {
    const { random, session, oracle } = this;
    if (session === null) return false;
    const burst = Array.from({ length: 1 + random.below(random.chance(0.2) ? 20 : 6) }, () => {
      const reset = !this.started || random.chance(0.08);
      this.started = true;
      return { ids: random.chance(0.04) ? [BAD_ID] : someIds(random), reset };
    });
    const answers = await Promise.all(burst.map(({ ids, reset }) => this.run(session, ids, reset)));
    let succeeded = true;
    // Where none fits into memory, the session may have ended with it.
    if (answers.every(({ code }) => code === "OUT_OF_MEMORY")) return this.giveUp("OUT_OF_MEMORY");
    for (const [index, { ids, reset }] of burst.entries()) {
      const { logits, code } = answers[index] as Answer;
      if (logits !== null) this.report(oracle.ran(ids, reset, logits));
      // It fails anyway; where the word of it was lost, a level that keeps no state may blame the state.
      else if ((code === "RUN_FAILED" || code === "STATE_LOST") && ids.includes(BAD_ID)) oracle.failed(reset);
      else {
        succeeded = false;
        if (!this.goesOn(code as ErrorCode)) return this.giveUp(code as ErrorCode);
        if (code === "OUT_OF_MEMORY") oracle.failed(reset);
        else oracle.lost();
      }
    }
    return succeeded;
  }

  private async generate(): Promise<boolean> {
    const { random, session, oracle } = this;
    if (session === null) return false;
    const [prompt, count] = [someIds(random), 1 + random.below(20)];
    const ids: number[] = [];
    this.started = true;
    try {
      await this.counted(
        (async () => {
          for await (const { index, id } of session.generate(prompt, { maxNewTokens: count })) {
            if (index !== ids.length) this.needs.violation(`token ${index} came as the ${ids.length}th`);
            ids.push(id);
            this.outstandingSince = this.needs.now();
          }
        })(),
      );
      this.report(oracle.generated(prompt, count, ids, true));
      return true;
    } catch (error) {
      this.report(oracle.generated(prompt, count, ids, false));
      const code = codeOf(error);
      // What it did to the state depends on the token that failed.
      this.started = false;
      return this.goesOn(code) && code !== "OUT_OF_MEMORY" ? false : this.giveUp(code);
    }
  }

  private async run(session: Session, ids: readonly number[], reset: boolean): Promise<Answer> {
    try {
      const { logits } = await this.counted(session.run({ input_ids: idsTensor(ids) }, { reset }));
      return { logits: Array.from(logits?.data as Float32Array), code: null };
    } catch (error) {
      return { logits: null, code: codeOf(error) };
    }
  }

  /** Errors of a run after which its session still serves. */
  private goesOn(code: ErrorCode): boolean {
    this.check(code, false);
    if (code === "HOST_LOST" || code === "OUT_OF_MEMORY") return true;
    return code === "STATE_LOST" && (this.plan.level === "none" || this.plan.level === "low");
  }

  private async giveUp(code: ErrorCode): Promise<boolean> {
    this.check(code, false);
    await this.release();
    return false;
  }

  private check(code: ErrorCode, isOpening: boolean): void {
    this.needs.note(`slot ${this.index} heard ${code}`);
    if (!this.needs.mayFail(this, code, this.openedAt, isOpening))
      this.needs.violation(`${code} in ${isOpening ? "an opening" : "a session"} at level ${this.plan.level}`);
  }

  private report(wrong: string | null): void {
    if (wrong !== null) this.needs.violation(wrong);
  }

  private async release(): Promise<void> {
    const { session } = this;
    this.session = null;
    if (session !== null) await this.counted(session.release());
  }

  private forget(): void {
    this.session = null;
    this.isOpening = false;
    this.isConnecting = false;
    this.outstanding = 0;
  }

  /** The page's own code ends with the page. */
  private unlessGone<T>(page: WebPage, step: Promise<T>): Promise<T | "gone"> {
    return Promise.race([step, page.gone.then(() => "gone" as const)]);
  }

  private async counted<T>(call: Promise<T>): Promise<T> {
    const page = this.needs.page();
    if (this.outstanding++ === 0) this.outstandingSince = this.needs.now();
    try {
      return await call;
    } finally {
      if (page === this.needs.page() && this.outstanding > 0) this.outstanding--;
      this.outstandingSince = this.needs.now();
    }
  }
}

export function codeOf(error: unknown): ErrorCode {
  if (error instanceof HoldfastError) return error.code;
  throw error;
}

function someIds(random: Random): number[] {
  return Array.from({ length: 1 + random.below(3) }, () => random.below(VOCABULARY - 4));
}
