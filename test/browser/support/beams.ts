/** Beam search of width 4 in the page: on plain onnxruntime-web, and over handles of a session of Holdfast. */
import type { Resident } from "../../../src/page/index.ts";
import { installDecoder } from "../checks/decoder.ts";
import type { Page } from "../harness/fixtures.ts";

export interface Beam {
  readonly ids: readonly number[];
  readonly score: number;
}

declare global {
  interface Window {
    beams: {
      plain(model: string, prompt: readonly number[], steps: number): Promise<Beam[]>;
      resident(prompt: readonly number[], steps: number): Promise<Beam[]>;
    };
  }
}

/** Puts `window.beams` into a test page. */
export async function installBeams(page: Page): Promise<void> {
  await installDecoder(page);
  await page.evaluate(() => {
    const WIDTH = 4;
    const LAYERS = 6;
    type Data = Float32Array | BigInt64Array;
    type Fed = { readonly type: "int64" | "float32"; readonly dims: readonly number[]; readonly data: Data };
    const integers = (values: readonly number[]): Fed => ({
      type: "int64",
      dims: [1, values.length],
      data: BigInt64Array.from(values, BigInt),
    });
    const feedsOf = (ids: readonly number[], past: number) => ({
      input_ids: integers(ids),
      attention_mask: integers(Array.from({ length: past + ids.length }, () => 1)),
      position_ids: integers(ids.map((_, at) => past + at)),
    });
    /** The best continuations of a beam, of its last row of logits. */
    const best = ({ ids, score }: Beam, logits: Float32Array, size: number): Beam[] => {
      const row = logits.subarray(logits.length - size);
      const most = row.reduce((a, b) => Math.max(a, b));
      const norm = most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0));
      return Array.from(row, (value, id) => ({ ids: [...ids, id], score: score + value - norm }))
        .sort((a, b) => b.score - a.score)
        .slice(0, WIDTH);
    };
    /** `step` runs ids after a state and gives logits and the state after them. */
    const search = async <State>(
      prompt: readonly number[],
      steps: number,
      step: (ids: readonly number[], past: number, from: State | null) => Promise<{ next: Beam[]; state: State }>,
      free: (state: State) => void,
      parent: { beam: Beam },
    ): Promise<Beam[]> => {
      parent.beam = { ids: [], score: 0 };
      const first = await step(prompt, 0, null);
      let states = [first.state];
      let beams = first.next.map((beam) => ({ beam, state: first.state }));
      for (let past = prompt.length; past < prompt.length + steps; past++) {
        const grown: { beam: Beam; state: State }[] = [];
        for (const { beam, state } of beams) {
          parent.beam = beam;
          const after = await step([beam.ids.at(-1) as number], past, state);
          grown.push(...after.next.map((next) => ({ beam: next, state: after.state })));
        }
        beams = [...grown].sort((a, b) => b.beam.score - a.beam.score).slice(0, WIDTH);
        const live = new Set(beams.map(({ state }) => state));
        for (const state of new Set([...states, ...grown.map((each) => each.state)])) if (!live.has(state)) free(state);
        states = [...live];
      }
      for (const state of states) free(state);
      return beams.map(({ beam }) => beam);
    };
    window.beams = {
      plain: async (model, prompt, steps) => {
        const { InferenceSession, Tensor } = await window.decoder.ort("wasm");
        const session = await InferenceSession.create(model, { executionProviders: ["wasm"] });
        const empty: Record<string, Fed> = {};
        for (let layer = 0; layer < LAYERS; layer++)
          for (const kind of ["key", "value"])
            empty[`past_key_values.${layer}.${kind}`] = {
              type: "float32",
              dims: [1, 2, 0, 32],
              data: new Float32Array(),
            };
        const parent = { beam: { ids: [], score: 0 } as Beam };
        const beams = await search<Record<string, Fed>>(
          prompt,
          steps,
          async (ids, past, from) => {
            const feeds = Object.entries({ ...feedsOf(ids, past), ...(from ?? empty) }).map(([name, fed]) => {
              return [name, new Tensor(fed.type as "float32", fed.data as Float32Array, fed.dims)] as const;
            });
            const outputs = await session.run(Object.fromEntries(feeds));
            const logits = outputs["logits"] as { data: unknown; dims: readonly number[] };
            const state = Object.entries(outputs).flatMap(([name, { dims, data }]) =>
              name.startsWith("present.")
                ? [
                    [
                      name.replace("present.", "past_key_values."),
                      { type: "float32" as const, dims, data: data as Float32Array },
                    ],
                  ]
                : [],
            );
            const next = best(parent.beam, logits.data as Float32Array, logits.dims.at(-1) as number);
            return { next, state: Object.fromEntries(state) as Record<string, Fed> };
          },
          () => undefined,
          parent,
        );
        await session.release();
        return beams;
      },
      resident: async (prompt, steps) => {
        const { session } = window.underTest;
        const parent = { beam: { ids: [], score: 0 } as Beam };
        return search<Resident>(
          prompt,
          steps,
          async (ids, past, from) => {
            const { outputs, state } = await session.run(feedsOf(ids, past), {
              ...(from === null ? { reset: true } : { from }),
              keep: true,
            });
            const logits = outputs["logits"] as { data: unknown; dims: readonly number[] };
            return { next: best(parent.beam, logits.data as Float32Array, logits.dims.at(-1) as number), state };
          },
          (state) => state.dispose(),
          parent,
        );
      },
    };
  });
}
