/** moby-llama in the page, run by plain onnxruntime-web and by a session of Holdfast, over the same steps. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../../src/demo/launch/setup.mjs";
import type { Session } from "../../../src/page/index.ts";
import type { Page } from "../harness/fixtures.ts";

export const MODEL = "/models/moby-llama/onnx/model.onnx";
export const TOKENIZER = "/models/moby-llama/tokenizer.json";

export interface Continuation {
  readonly prompt: string;
  readonly prompt_ids: readonly number[];
  readonly ids: readonly number[];
  readonly text: string;
}

/** What PyTorch made of five prompts, greedily. */
export const CONTINUATIONS: readonly Continuation[] = JSON.parse(
  readFileSync(join(ROOT, "test/models/moby-llama/reference.json"), "utf8"),
).greedy;

export function continuation(index: number): Continuation {
  const found = CONTINUATIONS[index];
  if (found === undefined) throw new Error(`reference.json has no continuation ${index}`);
  return found;
}

/** The steps of a decoder: the prompt in one piece, then token by token. */
export function stepsOf({ prompt_ids, ids }: Continuation, tokens: number): number[][] {
  return [[...prompt_ids], ...ids.slice(0, tokens).map((id) => [id])];
}

type Outputs = Record<string, Float32Array>;
type Ort = typeof import("onnxruntime-web");

declare global {
  interface Window {
    decoder: {
      ort(provider: "wasm" | "webgpu"): Promise<Ort>;
      /** Every step's outputs, the KV cache fed and returned by hand. */
      plain(model: string, steps: readonly (readonly number[])[], provider?: "wasm" | "webgpu"): Promise<Outputs[]>;
      /** The same with the cache resident in the hosts: no output but the logits. */
      bound(session: Session, steps: readonly (readonly number[])[]): Promise<Outputs[]>;
      /** The same with the cache fed and returned by hand (`stateBindings: {}`). */
      fed(session: Session, steps: readonly (readonly number[])[]): Promise<Outputs[]>;
      /** The first place where `actual` has other bits than `expected`; null when there is none. */
      difference(expected: readonly Outputs[], actual: readonly Outputs[]): string | null;
      /** The largest difference of any number; NaN when the shapes do not fit. */
      distance(expected: readonly Outputs[], actual: readonly Outputs[]): number;
    };
    /** What a test keeps in its page from one evaluation to the next. */
    kept: { plain?: Outputs[]; session?: Session };
  }
}

/** Puts `window.decoder` and `window.kept` into a test page. */
export async function installDecoder(page: Page): Promise<void> {
  await page.evaluate(() => {
    const LAYERS = 6;
    const integers = (values: readonly number[]) => ({
      type: "int64" as const,
      dims: [1, values.length],
      data: BigInt64Array.from(values, BigInt),
    });
    const feedsOf = (step: readonly number[], past: number) => ({
      input_ids: integers(step),
      attention_mask: integers(Array.from({ length: past + step.length }, () => 1)),
      position_ids: integers(step.map((_, at) => past + at)),
    });
    const emptyCache = () =>
      Object.fromEntries(
        Array.from({ length: LAYERS }, (_, layer) => layer).flatMap((layer) =>
          ["key", "value"].map((kind) => [
            `past_key_values.${layer}.${kind}`,
            { type: "float32" as const, dims: [1, 2, 0, 32] as readonly number[], data: new Float32Array(0) },
          ]),
        ),
      );
    type Feed = { type: "int64" | "float32"; dims: readonly number[]; data: BigInt64Array | Float32Array };
    type Result = Record<string, { dims: readonly number[]; data: unknown }>;
    const byHand = async (
      steps: readonly (readonly number[])[],
      run: (feeds: Record<string, Feed>) => Promise<Result>,
    ): Promise<Outputs[]> => {
      const all: Outputs[] = [];
      let cache: Record<string, Feed> = emptyCache();
      let past = 0;
      for (const step of steps) {
        const outputs = await run({ ...feedsOf(step, past), ...cache });
        past += step.length;
        const present = Object.entries(outputs).filter(([name]) => name.startsWith("present."));
        cache = Object.fromEntries(
          present.map(([name, { dims, data }]) => [
            name.replace("present.", "past_key_values."),
            { type: "float32" as const, dims, data: data as Float32Array },
          ]),
        );
        all.push(Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array])));
      }
      return all;
    };
    const ort = async (provider: "wasm" | "webgpu"): Promise<Ort> => {
      const url = `/ort/ort.${provider}.min.mjs`;
      const module = (await import(url)) as Ort;
      module.env.wasm.wasmPaths = "/ort/";
      module.env.wasm.numThreads = 1;
      return module;
    };
    window.kept = {};
    window.decoder = {
      ort,
      plain: async (model, steps, provider = "wasm") => {
        const { InferenceSession, Tensor } = await ort(provider);
        const session = await InferenceSession.create(model, { executionProviders: [provider] });
        const all = await byHand(steps, (feeds) =>
          session.run(
            Object.fromEntries(
              Object.entries(feeds).map(([name, { type, dims, data }]) => [
                name,
                new Tensor(type as "float32", data as Float32Array, dims),
              ]),
            ),
          ),
        );
        await session.release();
        return all;
      },
      bound: async (session, steps) => {
        const all: Outputs[] = [];
        let past = 0;
        for (const [index, step] of steps.entries()) {
          const outputs = await session.run(feedsOf(step, past), { reset: index === 0 });
          all.push(Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array])));
          past += step.length;
        }
        return all;
      },
      fed: (session, steps) => byHand(steps, (feeds) => session.run(feeds)),
      difference: (expected, actual) => {
        if (expected.length !== actual.length) return `${actual.length} steps instead of ${expected.length}`;
        for (const [step, outputs] of actual.entries()) {
          for (const [name, data] of Object.entries(outputs)) {
            const whole = expected[step]?.[name];
            if (whole === undefined || whole.length !== data.length) return `step ${step}: ${name} has another size`;
            const bits = (array: Float32Array) => new Uint32Array(array.buffer, array.byteOffset, array.length);
            const [a, b] = [bits(whole), bits(data)];
            const at = a.findIndex((value, index) => value !== b[index]);
            if (at >= 0) return `step ${step}: ${name}[${at}] is ${data[at]}, plain onnxruntime-web has ${whole[at]}`;
          }
        }
        return null;
      },
      distance: (expected, actual) => {
        const distances = actual.flatMap((outputs, step) =>
          Object.entries(outputs).flatMap(([name, data]) =>
            Array.from(data, (value, at) => Math.abs(value - (expected[step]?.[name]?.[at] ?? Number.NaN))),
          ),
        );
        return distances.reduce((most, distance) => Math.max(most, distance), 0);
      },
    };
  });
}
