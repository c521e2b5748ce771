import type { ErrorCode } from "../../src/base/errors.ts";
import type { WireTensors } from "../../src/base/tensor.ts";
import { LEVELS } from "../../src/fault/levels.ts";
import type { Resident } from "../../src/page/residents.ts";
import type { Session } from "../../src/page/session.ts";
import { BAD_ID, idsTensor, VOCABULARY } from "../unit/driver/world/model.ts";
import type { Random } from "../unit/random.ts";
import { type AskedRun, Oracle } from "./checks/oracle.ts";
import type { SlotPlan } from "./plan.ts";
import { codeOf } from "./slot.ts";

interface WorkNeeds {
  /** Bursts of runs are common. */
  readonly isLong: boolean;
  /** What it answers may be wrong. */
  isLiedTo(): boolean;
  /** Somebody waits for it. */
  counted<T>(call: Promise<T>): Promise<T>;
  /** Something of what is waited for came. */
  settled(): void;
  /** This error was heard. */
  check(code: ErrorCode): void;
  violation(what: string): void;
}

interface Answer {
  readonly logits: readonly number[] | null;
  readonly code: ErrorCode | null;
  readonly handle: Resident | null;
}

interface Generation {
  /** Its first run. Known for certain only while it is under way: others may take numbers before it begins. */
  base: number;
  readonly prompt: readonly number[];
  readonly count: number;
  /** The page has all of it, or an error. */
  isOver: boolean;
}

interface Kept {
  readonly handle: Resident;
  readonly version: WireTensors;
}

/** Null: all succeeded; "goes on": not all, and the session still serves; a code: it ended so. */
export type StepEnd = ErrorCode | "goes on" | null;

const HANDLES_MAX = 6;

/** What is done in one session: runs, generations and handles, and what the undisturbed model says to each. */
export class Work {
  private readonly oracle: Oracle;
  private started = false;
  private readonly kept: Kept[] = [];
  /** Asked, and not held against the model yet. */
  private asked: AskedRun[] = [];
  /** The last one. */
  private generation: Generation | null = null;
  private readonly keepsState: boolean;

  constructor(
    private readonly plan: SlotPlan,
    private readonly random: Random,
    private readonly needs: WorkNeeds,
  ) {
    this.oracle = new Oracle(plan.shards, plan.stateful);
    this.keepsState = plan.stateful && LEVELS[plan.level].keepsState;
  }

  step(session: Session): Promise<StepEnd> {
    const { random, plan } = this;
    if (plan.stateful && random.chance(0.4)) return this.generate(session);
    return this.keepsState && this.started && random.chance(0.15) ? this.useHandles(session) : this.runs(session);
  }

  /** The page is gone: what it had asked for may have been done. */
  leave(session: Session): void {
    this.oracle.unheard(this.asked);
    const { generation } = this;
    this.asked = [];
    this.kept.length = 0;
    if (generation === null || generation.isOver) return;
    generation.base = baseOf(session) ?? generation.base;
    this.oracle.unheardGeneration(generation.base, generation.prompt, generation.count);
  }

  /** Another page has taken the session up. `isSure`: the state is there, and which it is can be known. */
  async takenUp(session: Session, run: number, isSure: boolean): Promise<StepEnd> {
    const { generation } = this;
    this.started = false;
    if (!isSure) return null;
    // What the journal had heard of; the page may have had more.
    const known = knownBase(session);
    if (known !== null && generation?.base === known && this.random.chance(0.7)) return this.goOn(session, generation);
    // A generation that had begun and done nothing is where it began: at initial state.
    this.report(this.oracle.takenUp(known === session.nextRun ? -1 : run));
    this.started = session.nextRun > 0;
    return this.runs(session);
  }

  private async runs(session: Session): Promise<StepEnd> {
    const { random, oracle } = this;
    const base = session.nextRun;
    const count = 1 + random.below(this.isBurst() ? 20 : 2);
    const answers: Promise<Answer>[] = [];
    this.asked = [];
    for (let index = 0; index < count; index++) {
      const kept = this.keepsState && random.chance(0.08) ? this.any() : undefined;
      const reset = !this.started || (kept === undefined && random.chance(0.08));
      this.started = true;
      const ids = random.chance(0.04) ? [BAD_ID] : someIds(random);
      const from = reset ? undefined : kept;
      this.asked.push({ run: base + index, ids, reset, from: from?.version ?? null });
      answers.push(this.run(session, ids, reset, from?.handle, this.keepsState && random.chance(0.06)));
    }
    const { asked } = this;
    const all = await Promise.all(answers);
    this.asked = [];
    // Where none fits into memory, the session may have ended with it.
    if (all.every(({ code }) => code === "OUT_OF_MEMORY")) return this.ended("OUT_OF_MEMORY");
    let end: StepEnd = null;
    for (const [index, one] of asked.entries()) {
      const { logits, code, handle } = all[index] as Answer;
      if (logits !== null) {
        this.report(oracle.ran(one, logits));
        if (handle !== null) this.keep({ handle, version: oracle.version });
      }
      // It fails anyway; where the word of it was lost, a level that keeps no state may blame the state.
      else if ((code === "RUN_FAILED" || code === "STATE_LOST") && one.ids.includes(BAD_ID)) oracle.failed(one);
      else {
        end = "goes on";
        if (!this.goesOn(code as ErrorCode)) return this.ended(code as ErrorCode);
        if (code === "OUT_OF_MEMORY") oracle.failed(one);
        else oracle.lost();
      }
    }
    return end;
  }

  private async run(
    session: Session,
    ids: readonly number[],
    reset: boolean,
    from: Resident | undefined,
    keep: boolean,
  ): Promise<Answer> {
    const feeds = { input_ids: idsTensor(ids) };
    const options = { reset, ...(from === undefined ? {} : { from }) };
    try {
      const { outputs, state } = keep
        ? await this.needs.counted(session.run(feeds, { ...options, keep: true }))
        : { outputs: await this.needs.counted(session.run(feeds, options)), state: null };
      return { logits: Array.from(outputs.logits?.data as Float32Array), code: null, handle: state };
    } catch (error) {
      return { logits: null, code: codeOf(error), handle: null };
    }
  }

  /** Keeps the state as it is, reads a handle, or forgets one. */
  private async useHandles(session: Session): Promise<StepEnd> {
    const { random, oracle } = this;
    // Either takes a run of its own, which computes nothing. What is forgotten goes along: so no other run is needed for it.
    oracle.passed(session.nextRun);
    try {
      const kept = this.any();
      if (kept === undefined || random.chance(0.4)) {
        while (this.kept.length >= HANDLES_MAX) this.kept.shift()?.handle.dispose();
        this.keep({ handle: await this.needs.counted(session.keepState()), version: oracle.version });
        return null;
      }
      const tensors = await this.needs.counted(kept.handle.read());
      for (const [name, { data }] of Object.entries(kept.version))
        if (String(tensors[name]?.data) !== String(data)) this.report(`wrong contents of ${name} under a handle`);
      return null;
    } catch (error) {
      return this.ended(codeOf(error));
    }
  }

  private generate(session: Session): Promise<StepEnd> {
    const { random } = this;
    const generation = {
      base: session.nextRun,
      prompt: someIds(random),
      count: 1 + random.below(this.isBurst() ? 20 : 3),
      isOver: false,
    };
    const { prompt, count } = generation;
    return this.stream(session, generation, () => session.generate(prompt, { maxNewTokens: count }));
  }

  private goOn(session: Session, generation: Generation): Promise<StepEnd> {
    return this.stream(session, generation, () => session.resumeGeneration());
  }

  private async stream(
    session: Session,
    generation: Generation,
    tokens: () => AsyncIterable<{ readonly index: number; readonly id: number }>,
  ): Promise<StepEnd> {
    const ids: number[] = [];
    this.generation = generation;
    generation.isOver = false;
    this.started = true;
    let end: StepEnd = null;
    try {
      await this.needs.counted(
        (async () => {
          for await (const { index, id } of tokens()) {
            if (index !== ids.length) this.report(`token ${index} came as the ${ids.length}th`);
            ids.push(id);
            generation.base = baseOf(session) ?? generation.base;
            this.needs.settled();
          }
        })(),
      );
      this.report(this.oracle.generated(generation, ids, true));
    } catch (error) {
      const code = codeOf(error);
      this.report(this.oracle.generated(generation, ids, false));
      // What it did to the state depends on the token that failed.
      this.started = false;
      end = this.goesOn(code) && code !== "OUT_OF_MEMORY" ? "goes on" : this.ended(code);
    }
    generation.isOver = true;
    return end;
  }

  /** Errors of a run after which its session still serves. */
  private goesOn(code: ErrorCode): boolean {
    this.needs.check(code);
    if (code === "HOST_LOST" || code === "OUT_OF_MEMORY") return true;
    return code === "STATE_LOST" && (this.plan.level === "none" || this.plan.level === "low");
  }

  private ended(code: ErrorCode): ErrorCode {
    this.needs.check(code);
    return code;
  }

  /** So many runs that state is stored in between. */
  private isBurst(): boolean {
    return this.random.chance(this.needs.isLong ? 0.25 : 0.04);
  }

  private any(): Kept | undefined {
    return this.kept[this.random.below(this.kept.length)];
  }

  private keep(kept: Kept): void {
    this.kept.push(kept);
  }

  private report(wrong: string | null): void {
    const isBelieved = wrong?.startsWith("wrong") === true && this.needs.isLiedTo();
    if (wrong !== null && !isBelieved) this.needs.violation(wrong);
  }
}

/** The first run of the generation that the session was taken up in the middle of. */
function knownBase(session: Session): number | null {
  const { generating } = session as unknown as {
    readonly generating: {
      readonly known: { readonly head: { readonly base: number; readonly runs: number | null } } | null;
    };
  };
  const head = generating.known?.head;
  return head?.runs === null ? head.base : null;
}

/** The first run of the generation under way. */
function baseOf(session: Session): number | null {
  const { generating } = session as unknown as { readonly generating: { readonly current: Generation | null } };
  return generating.current?.base ?? null;
}

function someIds(random: Random): number[] {
  return Array.from({ length: 1 + random.below(3) }, () => random.below(VOCABULARY - 4));
}
