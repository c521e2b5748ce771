/** moby-llama fed by the page, token by token: run n is step n, and what each must give is known from plain onnxruntime-web. */
import { installDecoder, MODEL } from "../checks/decoder.ts";
import type { Page } from "../harness/fixtures.ts";

const TIMEOUT_MS = 120_000;

declare global {
  interface Window {
    course: {
      /** Opens a session under a name; gives its id. */
      open(name: string, shards: number): Promise<string>;
      /** The code of the error when it cannot be taken up; else the run that it goes on with. */
      resume(name: string, id: string): Promise<number | string>;
      /** Runs steps `from` up to `until`; the first output with other bits than undisturbed, or the code of an error. */
      run(name: string, from: number, until: number, reset?: boolean): Promise<string | null>;
      /** So many generations of one token: work that the journal notes. */
      generations(name: string, count: number): Promise<void>;
      durable(name: string): Promise<number>;
      recoveries(name: string): number;
      release(name: string): Promise<void>;
    };
  }
}

/** Puts `window.course` into a test page; `ids` are the tokens of all steps. */
export async function installCourse(page: Page, ids: readonly number[]): Promise<void> {
  await installDecoder(page);
  await page.evaluateWithin(
    TIMEOUT_MS,
    async (model, tokens) => {
      const expected = await window.decoder.plain(
        model,
        tokens.map((id) => [id]),
      );
      const pool = await window.holdfast.connect();
      const sessions = new Map<
        string,
        { session: Awaited<ReturnType<typeof pool.createSession>>; recoveries: number }
      >();
      const of = (name: string) => {
        const found = sessions.get(name);
        if (found === undefined) throw new Error(`there is no session "${name}"`);
        return found;
      };
      const add = (name: string, session: Awaited<ReturnType<typeof pool.createSession>>) => {
        const entry = { session, recoveries: 0 };
        session.on(({ type }) => {
          if (type === "recovered") entry.recoveries++;
        });
        sessions.set(name, entry);
      };
      const integers = (values: readonly number[]) => ({
        type: "int64",
        dims: [1, values.length],
        data: BigInt64Array.from(values, BigInt),
      });
      const codeOf = (error: unknown): string => (error as { code?: string }).code ?? `untyped: ${error}`;
      window.course = {
        open: async (name, shards) => {
          const options = { shards, executionProviders: ["wasm"], shardingStrategy: "layer_based" } as const;
          add(name, await pool.createSession(model, options));
          return of(name).session.id;
        },
        resume: async (name, id) => {
          try {
            add(name, await pool.resumeSession(id));
            return of(name).session.nextRun;
          } catch (error) {
            return codeOf(error);
          }
        },
        run: async (name, from, until, reset = false) => {
          for (let at = from; at < until; at++) {
            const feeds = {
              input_ids: integers([tokens[at] as number]),
              attention_mask: integers(tokens.slice(0, at + 1).map(() => 1)),
              position_ids: integers([at]),
            };
            try {
              const { logits } = await of(name).session.run(feeds, { reset: reset && at === from });
              const wanted = expected[at]?.["logits"];
              const difference = window.decoder.difference(
                [{ logits: wanted ?? new Float32Array() }],
                [{ logits: logits?.data as Float32Array }],
              );
              if (difference !== null) return `step ${at}: ${difference}`;
            } catch (error) {
              return codeOf(error);
            }
          }
          return null;
        },
        generations: async (name, count) => {
          for (let done = 0; done < count; done++)
            for await (const _ of of(name).session.generate([300], { maxNewTokens: 1 }));
        },
        durable: (name) => of(name).session.makeDurable(),
        recoveries: (name) => of(name).recoveries,
        release: (name) => of(name).session.release(),
      };
    },
    MODEL,
    ids,
  );
}

export const course = {
  open: (page: Page, name: string, shards: number) =>
    page.evaluateWithin(TIMEOUT_MS, (...args) => window.course.open(...args), name, shards),
  resume: (page: Page, name: string, id: string) =>
    page.evaluateWithin(TIMEOUT_MS, (...args) => window.course.resume(...args), name, id),
  run: (page: Page, name: string, from: number, until: number, reset = false) =>
    page.evaluateWithin(TIMEOUT_MS, (...args) => window.course.run(...args), name, from, until, reset),
  generations: (page: Page, name: string, count: number) =>
    page.evaluateWithin(TIMEOUT_MS, (...args) => window.course.generations(...args), name, count),
  durable: (page: Page, name: string) =>
    page.evaluateWithin(TIMEOUT_MS, (wanted) => window.course.durable(wanted), name),
  recoveries: (page: Page, name: string) => page.evaluate((wanted) => window.course.recoveries(wanted), name),
  release: (page: Page, name: string) =>
    page.evaluateWithin(TIMEOUT_MS, (wanted) => window.course.release(wanted), name),
};
