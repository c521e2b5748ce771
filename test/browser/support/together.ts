/** Models of one folder, by `createSessions` and by plain onnxruntime-web, side by side in a page. */
import type { InferenceSession, Tensor } from "onnxruntime-web";
import type { Pool } from "../../../src/page/pool.ts";
import type { Session } from "../../../src/page/session.ts";
import type { CreateSessionsOptions } from "../../../src/page/together.ts";
import type { PostedFeeds } from "../checks/models.ts";
import type { Page } from "../harness/fixtures.ts";

declare global {
  interface Window {
    together: {
      readonly pool: Pool;
      readonly sessions: Readonly<Record<string, Session>>;
      readonly plain: Readonly<Record<string, InferenceSession>>;
      /** Of the plain sessions: what their next run gets of their last. */
      readonly state: Record<string, Record<string, Tensor>>;
      readonly tensors: (feeds: PostedFeeds) => Record<string, Tensor>;
      readonly posted: (outputs: Readonly<Record<string, Tensor>>) => PostedFeeds;
    };
  }
}

/** A file of the folder: where it is, or what is in it. */
export interface FolderFile {
  readonly name: string;
  readonly from: { readonly url: string } | { readonly base64: string };
}

/** Writes the files into a folder of the page, opens all models in it. `stages` by the names that they were given. */
export function openFolder(
  page: Page,
  files: readonly FolderFile[],
  options: CreateSessionsOptions,
): Promise<{ readonly stages: Readonly<Record<string, number>>; readonly told: readonly string[] }> {
  return page.evaluateWithin(
    240_000,
    async (all, asked) => {
      const ortUrl = "/ort/ort.wasm.min.mjs";
      const ort = (await import(ortUrl)) as typeof import("onnxruntime-web");
      ort.env.wasm.wasmPaths = "/ort/";
      ort.env.wasm.numThreads = 1;
      const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(crypto.randomUUID(), {
        create: true,
      });
      const contents = new Map<string, Uint8Array>();
      for (const { name, from } of all) {
        const bytes = "url" in from ? await (await fetch(from.url)).bytes() : bytesOf(from.base64);
        const file = await (await folder.getFileHandle(name, { create: true })).createWritable();
        await file.write(bytes as Uint8Array<ArrayBuffer>);
        await file.close();
        contents.set(name, bytes);
      }
      const told = new Set<string>();
      const pool = await window.holdfast.connect();
      const sessions = await pool.createSessions(folder, { ...asked, onEvent: (_, name) => void told.add(name) });
      const plain: Record<string, InferenceSession> = {};
      // The folder's files in the order of the sessions' names.
      for (const [index, name] of Object.keys(sessions).entries())
        plain[name] = await ort.InferenceSession.create(contents.get(all[index]?.name ?? "") as Uint8Array, {
          executionProviders: ["wasm"],
        });
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
      const base64Of = (data: unknown): string => {
        const { buffer, byteOffset, byteLength } = data as ArrayBufferView;
        const bytes = new Uint8Array(buffer, byteOffset, byteLength);
        let text = "";
        for (let at = 0; at < bytes.length; at += 8_192) text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
        return btoa(text);
      };
      const posted = (outputs: Readonly<Record<string, Tensor>>) =>
        Object.fromEntries(
          Object.entries(outputs).map(([name, { type, dims, data }]) => [name, { type, dims, base64: base64Of(data) }]),
        );
      window.together = { pool, sessions, plain, state: {}, tensors, posted };
      const stages = Object.entries(sessions).map(([name, session]) => [name, session.stages.length] as const);
      return { stages: Object.fromEntries(stages), told: [...told].sort() };
    },
    files,
    options,
  );
}

/** One run of a model both ways. `feeds` may hold state: then it is the plain session's, a sequence's first. */
export function runBoth(
  page: Page,
  name: string,
  feeds: PostedFeeds,
): Promise<{ readonly different: readonly string[]; readonly outputs: PostedFeeds }> {
  return page.evaluateWithin(
    240_000,
    async (model, given) => {
      const { sessions, plain, state, tensors, posted } = window.together;
      const session = sessions[model] as Session;
      const own = (names: readonly string[], all: Readonly<Record<string, Tensor>>) =>
        Object.fromEntries(Object.entries(all).filter(([input]) => names.includes(input)));
      const inputs = session.inputs.map((input) => input.name);
      const reset = Object.keys(given).some((input) => !inputs.includes(input));
      const made = await session.run(own(inputs, tensors(given)), { reset });
      const whole = await (plain[model] as InferenceSession).run({ ...state[model], ...tensors(given) });
      const past = Object.entries(whole).filter(([output]) => output.startsWith("present."));
      state[model] = Object.fromEntries(
        past.map(([output, value]) => [output.replace("present", "past_key_values"), value]),
      );
      const [ours, theirs] = [posted(made), posted(whole)];
      const same = (output: string) => JSON.stringify(ours[output]) === JSON.stringify(theirs[output]);
      return { different: Object.keys(ours).filter((output) => !same(output)), outputs: ours };
    },
    name,
    feeds,
  );
}
