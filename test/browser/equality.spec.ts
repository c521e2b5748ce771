import { characterClasses, readColumns, recogniserPlanes } from "../../src/demo/ocr/recognise.ts";
import { continuation, installDecoder, MODEL, stepsOf } from "./checks/decoder.ts";
import { renderText } from "./checks/picture.ts";
import { expect, type Page, test } from "./harness/fixtures.ts";

const STEPS = stepsOf(continuation(0), 6);
const SLOW = 240_000;

/** What plain onnxruntime-web on the page makes of the whole model, kept in the page. */
async function runPlain(page: Page, steps: readonly (readonly number[])[]): Promise<void> {
  await installDecoder(page);
  await page.evaluateWithin(
    SLOW,
    async (model, all) => {
      window.kept.plain = await window.decoder.plain(model, all);
    },
    MODEL,
    steps,
  );
}

test("moby-llama in 1, 2, 3 and 4 shards has the bits of plain onnxruntime-web", async ({ page }) => {
  test.setTimeout(SLOW);
  await runPlain(page, STEPS);
  for (const shards of [1, 2, 3, 4]) {
    const [difference, stages] = await page.evaluateWithin(
      SLOW,
      async (model, steps, count) => {
        const pool = await window.holdfast.connect();
        const session = await pool.createSession(model, { shards: count, executionProviders: ["wasm"] });
        const outputs = await window.decoder.bound(session, steps);
        const found = [
          window.decoder.difference(window.kept.plain ?? [], outputs),
          session.stages.map(({ provider }) => provider),
        ] as const;
        await session.release();
        await pool.close();
        return found;
      },
      MODEL,
      STEPS,
      shards,
    );
    expect(difference, `${shards} shards`).toBeNull();
    expect(stages).toEqual(Array.from({ length: shards }, () => "wasm"));
  }
});

test("a cache that the page feeds itself has the same bits, every output compared", async ({ page }) => {
  test.setTimeout(SLOW);
  await runPlain(page, STEPS);
  const [difference, outputs] = await page.evaluateWithin(
    SLOW,
    async (model, steps) => {
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, { shards: 2, stateBindings: {} });
      const all = await window.decoder.fed(session, steps);
      await session.release();
      return [window.decoder.difference(window.kept.plain ?? [], all), Object.keys(all[0] ?? {}).sort()] as const;
    },
    MODEL,
    STEPS,
  );
  expect(difference).toBeNull();
  expect(outputs).toContain("present.5.value");
  expect(outputs).toHaveLength(13);
});

test("a model given as bytes, and one whose weights lie in a file of their own, have the same bits", async ({
  page,
}) => {
  test.setTimeout(SLOW);
  await runPlain(page, STEPS);
  const differences = await page.evaluateWithin(
    SLOW,
    async (model, steps) => {
      const pool = await window.holdfast.connect();
      const bytes = await (await fetch(model)).arrayBuffer();
      const folder = "/models/moby-llama/onnx-external";
      const data = new Uint8Array(await (await fetch(`${folder}/model.onnx_data`)).arrayBuffer());
      const sources = {
        bytes,
        "graph and data by URL": {
          graph: `${folder}/model.onnx`,
          externalData: { "model.onnx_data": `${folder}/model.onnx_data` },
        },
        "graph by URL, data as bytes": { graph: `${folder}/model.onnx`, externalData: { "model.onnx_data": data } },
      };
      const found: Record<string, string | null> = {};
      for (const [name, source] of Object.entries(sources)) {
        const session = await pool.createSession(source, { shards: 2 });
        found[name] = window.decoder.difference(window.kept.plain ?? [], await window.decoder.bound(session, steps));
        await session.release();
      }
      return found;
    },
    MODEL,
    STEPS,
  );
  expect(Object.values(differences)).toHaveLength(3);
  for (const [name, difference] of Object.entries(differences)) expect(difference, name).toBeNull();
});

test("moby-llama on WebGPU in two shards agrees within 1e-4 with plain onnxruntime-web", async ({ page }) => {
  test.setTimeout(SLOW);
  const steps = [continuation(0).prompt_ids.slice(0, 2), ...stepsOf(continuation(0), 1).slice(1)];
  await runPlain(page, steps);
  const { toGpu, toWasm, range, providers } = await page.evaluateWithin(
    SLOW,
    async (model, all) => {
      const { plain = [] } = window.kept;
      const plainGpu = await window.decoder.plain(model, all, "webgpu");
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, { shards: 2, executionProviders: ["webgpu"] });
      const outputs = await window.decoder.bound(session, all);
      const found = {
        toGpu: window.decoder.distance(plainGpu, outputs),
        toWasm: window.decoder.distance(plain, outputs),
        range: Math.max(...plain.flatMap(({ logits }) => Array.from(logits ?? [], Math.abs))),
        providers: session.stages.map(({ provider }) => provider),
      };
      await session.release();
      return found;
    },
    MODEL,
    steps,
  );
  expect(providers).toEqual(["webgpu", "webgpu"]);
  expect(toGpu, "to the same provider, absolute").toBeLessThan(1e-4);
  // The two providers differ by more than 1e-4 in plain onnxruntime-web too: the logits are as large as 16.
  expect(toWasm / range, "to wasm, relative to the largest logit").toBeLessThan(1e-4);
});

const RECOGNISER = "/models/ocr/ch_PP-OCRv4_rec_infer.onnx";

test("the OCR recogniser in 1, 2, 3 and 4 shards reads a rendered line with the bits of plain onnxruntime-web", async ({
  page,
}) => {
  test.setTimeout(SLOW);
  await installDecoder(page);
  const said = "Call me Ishmael. 1851";
  const { picture, box } = await renderText(page, said);
  const { data, dims } = recogniserPlanes(picture, box);
  const input = { dims: [...dims], base64: Buffer.from(data.buffer).toString("base64") };
  const keys = await page.evaluate(async () => (await fetch("/models/ocr/ppocr_keys_v1.txt")).text());
  const { differences, output } = await page.evaluateWithin(
    SLOW,
    async (model, { dims, base64 }) => {
      const { InferenceSession, Tensor } = await window.decoder.ort("wasm");
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const x = () => new Tensor("float32", new Float32Array(bytes.buffer.slice(0)), dims);
      const plain = await InferenceSession.create(model, { executionProviders: ["wasm"] });
      const floats = (outputs: Record<string, { data: unknown }>) =>
        Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array]));
      const expected = floats(await plain.run({ x: x() }));
      const pool = await window.holdfast.connect();
      const found: (string | null)[] = [];
      for (const shards of [1, 2, 3, 4]) {
        const session = await pool.createSession(model, { shards, executionProviders: ["wasm"] });
        found.push(window.decoder.difference([expected], [floats(await session.run({ x: x() }))]));
        await session.release();
      }
      const [columns = new Float32Array()] = Object.values(expected);
      let text = "";
      const view = new Uint8Array(columns.buffer, columns.byteOffset, columns.byteLength);
      for (let at = 0; at < view.length; at += 0x8000) text += String.fromCharCode(...view.subarray(at, at + 0x8000));
      return { differences: found, output: btoa(text) };
    },
    RECOGNISER,
    input,
  );
  expect(differences).toEqual([null, null, null, null]);
  const bytes = Buffer.from(output, "base64");
  const columns = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const { text, score } = readColumns(columns, characterClasses(keys));
  expect(text).toBe(said);
  expect(score).toBeGreaterThan(0.9);
});
