/** A model with state, stepped in the page: first undisturbed by plain onnxruntime-web, then by a session whose hosts die. */
import type { ModelCase, PostedFeeds } from "../checks/models.ts";
import type { Page } from "../harness/fixtures.ts";

declare global {
  interface Window {
    stateful: {
      /** Steps that are done in the course under way. */
      done: number;
      /** Recoveries that the session told of. */
      recovered: number;
      readonly hosts: () => string[];
      /** All steps from initial state; resolves with the first output that has other bits than undisturbed. */
      readonly play: () => Promise<string | null>;
      readonly release: () => Promise<void>;
    };
  }
}

const TIMEOUT_MS = 240_000;

/** Opens the model both ways and steps it undisturbed. */
export function openStateful(page: Page, { model, ...rest }: ModelCase): Promise<void> {
  return page.evaluateWithin(
    TIMEOUT_MS,
    async (source, { steps, initial, stateBindings, options }) => {
      const ortUrl = "/ort/ort.wasm.min.mjs";
      const ort = (await import(ortUrl)) as typeof import("onnxruntime-web");
      ort.env.wasm.wasmPaths = "/ort/";
      ort.env.wasm.numThreads = 1;
      const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const arrays: Record<string, new (buffer: ArrayBuffer) => ArrayBufferView> = {
        float32: Float32Array,
        int64: BigInt64Array,
        bool: Uint8Array,
      };
      const tensors = (feeds: PostedFeeds) =>
        Object.fromEntries(
          Object.entries(feeds).map(([name, { type, dims, base64 }]) => {
            const data = new (arrays[type] ?? Uint8Array)(bytesOf(base64).buffer as ArrayBuffer);
            return [name, new ort.Tensor(type as "float32", data as Float32Array, dims)];
          }),
        );
      const held = "url" in source ? source.url : bytesOf(source.base64);
      const plain = await ort.InferenceSession.create(held as string, { executionProviders: ["wasm"] });
      const expected: Record<string, string>[] = [];
      const text = ({ data }: { readonly data: unknown }): string => {
        const view = data as ArrayBufferView;
        return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).join();
      };
      let state = tensors(initial);
      for (const step of steps) {
        const made = await plain.run({ ...tensors(step), ...state });
        state = Object.fromEntries(
          Object.entries(stateBindings).map(([input, output]) => [input, made[output] as never]),
        );
        const results = Object.entries(made).filter(([name]) => !Object.values(stateBindings).includes(name));
        expected.push(Object.fromEntries(results.map(([name, tensor]) => [name, text(tensor as never)])));
      }
      await plain.release();
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(held, { ...options, executionProviders: ["wasm"] });
      session.on(({ type }) => {
        if (type === "recovered") window.stateful.recovered++;
      });
      window.stateful = {
        done: 0,
        recovered: 0,
        hosts: () => session.stages.map(({ hostId }) => hostId),
        play: async () => {
          window.stateful.done = 0;
          for (const [index, step] of steps.entries()) {
            const made = await session.run(tensors(step), { reset: index === 0 });
            for (const [name, wanted] of Object.entries(expected[index] ?? {}))
              if (made[name] === undefined || text(made[name]) !== wanted) return `run ${index}: ${name}`;
            window.stateful.done = index + 1;
            // Whoever waits for a step is told before the next ones are done.
            await new Promise((resolve) => setTimeout(resolve, 8));
          }
          return null;
        },
        release: async () => {
          await session.release();
          await pool.close();
        },
      };
    },
    model,
    rest,
  );
}

/** Plays the course and fires when about `at` steps are done. */
export async function playWith(page: Page, at: number, fire: () => unknown): Promise<string | null> {
  const played = page.evaluateWithin(TIMEOUT_MS, () => window.stateful.play());
  await page.evaluateWithin(
    TIMEOUT_MS,
    async (wanted) => {
      while (window.stateful.done < wanted) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    at,
  );
  await fire();
  return played;
}
