/** Any model in the page, by plain onnxruntime-web and by a session of Holdfast, byte for byte. */
import type { CreateSessionOptions } from "../../../src/page/pool.ts";
import type { Page } from "../harness/fixtures.ts";

/** A tensor as JSON: what `evaluate` can hand over. */
export interface PostedTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly base64: string;
}
export type PostedFeeds = Readonly<Record<string, PostedTensor>>;

export interface ModelCase {
  /** A URL, or the model's bytes as base64. */
  readonly model: { readonly url: string } | { readonly base64: string };
  /** Feeds of one run after the other, bound state left out. */
  readonly steps: readonly PostedFeeds[];
  /** State before the first run, and which output is which input of the next. */
  readonly initial: PostedFeeds;
  readonly stateBindings: Readonly<Record<string, string>>;
  readonly options: CreateSessionOptions;
}

export interface Compared {
  /** The first output with other bytes; null: there is none. */
  readonly difference: string | null;
  readonly stages: number;
  readonly strategy: string;
  readonly outputs: number;
}

type Array64 = { readonly type: string; readonly dims: readonly number[]; readonly data: ArrayBufferView };

export function posted({ type, dims, data }: Array64): PostedTensor {
  return { type, dims, base64: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64") };
}

export function postedFeeds(feeds: Readonly<Record<string, Array64>>): PostedFeeds {
  return Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, posted(tensor)]));
}

/** Runs the model both ways, one thread, wasm. */
export function compare(page: Page, { model, ...rest }: ModelCase): Promise<Compared> {
  return page.evaluateWithin(
    240_000,
    async (source, { steps, initial, stateBindings, options }) => {
      const ortUrl = "/ort/ort.wasm.min.mjs";
      const ort = (await import(ortUrl)) as typeof import("onnxruntime-web");
      ort.env.wasm.wasmPaths = "/ort/";
      ort.env.wasm.numThreads = 1;
      const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const arrays: Record<string, new (buffer: ArrayBuffer) => ArrayBufferView> = {
        float32: Float32Array,
        float16: Uint16Array,
        int64: BigInt64Array,
        int32: Int32Array,
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
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(held, { ...options, executionProviders: ["wasm"] });
      const raw = ({ data }: { readonly data: unknown }) => {
        const view = data as ArrayBufferView;
        return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      };
      let difference: string | null = null;
      let outputs = 0;
      let state = tensors(initial);
      for (const [index, step] of steps.entries()) {
        const whole = await plain.run({ ...tensors(step), ...state });
        const made = await session.run(tensors(step), { reset: index === 0 });
        for (const [name, tensor] of Object.entries(made)) {
          outputs += 1;
          const [a, b] = [raw(tensor), raw(whole[name] as never)];
          if (a.length !== b.length || a.some((byte, at) => byte !== b[at])) difference ??= `run ${index}: ${name}`;
        }
        state = Object.fromEntries(
          Object.entries(stateBindings).map(([input, output]) => [input, whole[output] as never]),
        );
      }
      const { strategy } = session.plan;
      const found = { difference, stages: session.stages.length, strategy, outputs };
      await session.release();
      await plain.release();
      await pool.close();
      return found;
    },
    model,
    rest,
  );
}
