import type { Pool } from "../../../src/page/pool.ts";
import type { Session } from "../../../src/page/session.ts";
import { idsTensor, Reference } from "../../unit/driver/world/model.ts";
import { codeOf } from "../slot.ts";

export const SHARDS = 2;
const PROMPT = [3, 1, 4];

/** What a page does with its session, one after the other. */
type Step =
  | { readonly kind: "run"; readonly ids: readonly number[] }
  | { readonly kind: "generate"; readonly tokens: number }
  | { readonly kind: "durable" }
  | { readonly kind: "idle"; readonly ms: number };

const runs = (count: number): Step[] =>
  Array.from({ length: count }, (_, at): Step => ({ kind: "run", ids: [at % 9, 7] }));

/** A session with all that is written for one: opened, run, generated in, made durable, parked and woken. */
export const STEPS: readonly Step[] = [
  ...runs(18),
  { kind: "generate", tokens: 24 },
  { kind: "durable" },
  ...runs(2),
  // It gives its hosts back.
  { kind: "idle", ms: 80_000 },
  ...runs(2),
  { kind: "generate", tokens: 5 },
];

/** What was asked for in which runs. */
interface Asked {
  readonly base: number;
  readonly step: Extract<Step, { kind: "run" | "generate" }>;
}

/** The page's side of a crash: what it asked for, what it was promised, and what it got. */
export class Script {
  session: Session | null = null;
  isReleased = false;
  /** The last run that it was told is durable. */
  durable = -1;
  readonly wrong: string[] = [];
  private readonly asked: Asked[] = [];
  private readonly reference = new Reference(SHARDS);

  async play(connect: () => Promise<Pool>, model: string, sleep: (ms: number) => Promise<void>): Promise<void> {
    // Nothing was promised before it is open: a page that hears why it cannot be tries again.
    const session = await this.open(connect, model).catch(() => this.open(connect, model));
    this.session = session;
    for (const step of STEPS) {
      if (step.kind === "idle") await sleep(step.ms);
      else if (step.kind === "durable") this.durable = Math.max(this.durable, await session.makeDurable());
      else await this.work(session, step);
    }
    this.isReleased = true;
    await session.release();
  }

  private async open(connect: () => Promise<Pool>, model: string): Promise<Session> {
    const pool = await connect();
    pool.registerModel(model, new Uint8Array(16));
    return pool.createSession(model, {
      shards: SHARDS,
      onEvent: (event) => {
        if (event.type === "durable") this.durable = Math.max(this.durable, event.run);
      },
    });
  }

  private async work(session: Session, step: Asked["step"]): Promise<void> {
    this.asked.push({ base: session.nextRun, step });
    const expected = perform(this.reference, step);
    this.compare(`${step.kind} ${session.nextRun}`, expected, await answerOf(session, step));
  }

  /** Goes on with the session in another page. Returns what is wrong. */
  async goOn(session: Session): Promise<readonly string[]> {
    const last = session.nextRun - 1;
    if (last < this.durable) this.wrong.push(`run ${this.durable} was called durable, and the session is at ${last}`);
    const reference = new Reference(SHARDS);
    for (const { base, step } of this.asked) {
      if (base > last + 1) break;
      if (step.kind === "run") {
        if (base <= last) perform(reference, step);
        continue;
      }
      const isPast = last >= base + step.tokens;
      // It goes on where it was, and the page may have all of it again.
      const ids = isPast ? null : await resumed(session);
      // The journal had not heard of it: at most its prompt was run, and none of its tokens was durable.
      if (ids === null && last <= base) {
        if (last === base) reference.run(PROMPT, true);
        break;
      }
      const expected = perform(reference, step);
      if (!isPast) this.compare(`the generation from run ${base} on, taken up after ${last}`, expected, ids ?? []);
    }
    const step = { kind: "run", ids: [5, 2] } as const;
    this.compare(`the next run after ${last}`, perform(reference, step), await answerOf(session, step));
    return this.wrong;
  }

  private compare(what: string, expected: readonly number[], got: readonly number[]): void {
    if (JSON.stringify(expected) !== JSON.stringify(got)) this.wrong.push(`${what}: ${got} instead of ${expected}`);
  }
}

function perform(reference: Reference, step: Asked["step"]): number[] {
  if (step.kind === "generate") return reference.generate(PROMPT, step.tokens);
  return reference.run(step.ids, false) ?? [];
}

/** All ids of the last generation; null: there is none to go on with. */
async function resumed(session: Session): Promise<number[] | null> {
  const ids: number[] = [];
  try {
    for await (const { id } of session.resumeGeneration()) ids.push(id);
    return ids;
  } catch (error) {
    if (codeOf(error) === "BAD_OPTIONS") return null;
    throw error;
  }
}

async function answerOf(session: Session, step: Asked["step"]): Promise<number[]> {
  if (step.kind === "run") {
    const { logits } = await session.run({ input_ids: idsTensor(step.ids) });
    return Array.from(logits?.data as Float32Array);
  }
  const ids: number[] = [];
  for await (const { id } of session.generate(PROMPT, { maxNewTokens: step.tokens })) ids.push(id);
  return ids;
}
