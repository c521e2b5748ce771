import { MODEL, TOKENIZER } from "./checks/decoder.ts";
import { hostTargets, Popup } from "./checks/status.ts";
import { type Expected, expectRejected, installWitness } from "./checks/witness.ts";
import { type Browser, expect, test } from "./harness/fixtures.ts";
import { keepSession, launchConsented, openPage } from "./support/pages.ts";

const RECOGNISER = "/models/ocr/ch_PP-OCRv4_rec_infer.onnx";
/** y = Identity(x), one float (opset 17), as protobuf bytes: a model that cannot be cut. */
const IDENTITY = "CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEBE=";

/** Only the witness's tab, its page's frame, the spare's two, and no more. */
async function expectOneHost(browser: Browser): Promise<void> {
  const popup = await Popup.open(browser);
  await expect
    .poll(async () => (await popup.status()).sessions.map(({ status }) => status), { timeout: 20_000 })
    .toEqual(["live"]);
  expect((await popup.status()).hosts).toHaveLength(1);
  await popup.close();
  await expect.poll(async () => (await hostTargets(browser)).length, { timeout: 20_000 }).toBe(4);
}

test("models that cannot be read are refused with what is wrong with them", async ({ browser, page }) => {
  test.setTimeout(240_000);
  await installWitness(browser, page);
  const cases: Record<string, Expected> = {
    "/faults/not-a-model.onnx": { code: "BAD_MODEL", category: "UNKNOWN", message: /ONNX/ },
    "no bytes": { code: "BAD_MODEL", category: "UNKNOWN", message: /empty/ },
    "half of it": { code: "BAD_MODEL", category: "UNKNOWN", message: /complete|end|trunc|ONNX/ },
    "all but its last 100 KB": { code: "BAD_MODEL", category: "UNKNOWN", message: /complete|end|trunc|ONNX/ },
    "an operator that nobody has": { code: "UNSUPPORTED_OP", category: "UNKNOWN", message: /Identitx/ },
    "/nowhere.onnx": { code: "MODEL_FETCH_FAILED", category: "CONNECTION", message: /404/ },
    "/faults/error.onnx": { code: "MODEL_FETCH_FAILED", category: "CONNECTION", message: /500/ },
    "http://127.0.0.1:9/model.onnx": {
      code: "MODEL_FETCH_FAILED",
      category: "CONNECTION",
      message: /could not be read/,
    },
    "a graph without its data": { code: "BAD_MODEL", category: "UNKNOWN", message: /model\.onnx_data/ },
    "a graph with too little data": { code: "BAD_MODEL", category: "UNKNOWN", message: /complete/ },
  };
  for (const [name, expected] of Object.entries(cases)) {
    const result = await page.evaluate(
      async (wanted, model, identity) => {
        const pool = await window.holdfast.connect();
        const whole = new Uint8Array(await (await fetch(model)).arrayBuffer());
        const unknown = Uint8Array.from(atob(identity).replace("Identity", "Identitx"), (character) =>
          character.charCodeAt(0),
        );
        const external = "/models/moby-llama/onnx-external/model.onnx";
        const sources: Record<string, Parameters<typeof pool.createSession>[0]> = {
          "no bytes": new Uint8Array(),
          "half of it": whole.slice(0, whole.length / 2),
          "all but its last 100 KB": whole.slice(0, -100_000),
          "an operator that nobody has": unknown,
          "a graph without its data": { graph: external, externalData: {} },
          "a graph with too little data": {
            graph: external,
            externalData: { "model.onnx_data": whole.slice(0, 1_000_000) },
          },
        };
        return window.witness.during(() => pool.createSession(sources[wanted] ?? wanted, { shards: 1 }));
      },
      name,
      MODEL,
      IDENTITY,
    );
    expectRejected(result, expected, name);
  }
  await expectOneHost(browser);
});

test("a download that stalls is given up", async ({ browser, page }) => {
  test.setTimeout(120_000);
  await installWitness(browser, page);
  const result = await page.evaluate(async () => {
    const pool = await window.holdfast.connect();
    return window.witness.during(() => pool.createSession("/faults/stall.onnx", { shards: 1 }));
  });
  expectRejected(
    result,
    { code: "MODEL_FETCH_STALLED", category: "TIMEOUT", message: /sent nothing for 20 seconds/ },
    "stall",
  );
});

test("more shards than a model can be cut into: the message says the most; with none asked for it runs whole", async ({
  browser,
  page,
}) => {
  test.setTimeout(120_000);
  await installWitness(browser, page);
  const open = (model: string, shards: number) =>
    page.evaluate(
      async (source, count) => {
        const pool = await window.holdfast.connect();
        const bytes = Uint8Array.from(atob(source), (character) => character.charCodeAt(0));
        return window.witness.during(() => pool.createSession(bytes, { shards: count }));
      },
      model,
      shards,
    );
  expectRejected(
    await open(IDENTITY, 2),
    { code: "TOO_MANY_SHARDS", category: "UNKNOWN", message: /at most 1\b.*ask for 1/ },
    "2 shards of a model of one node",
  );
  const many = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    return window.witness.during(() => pool.createSession(model, { shards: 500 }));
  }, MODEL);
  expectRejected(many, { code: "TOO_MANY_SHARDS", category: "UNKNOWN", message: /at most \d+/ }, "500 shards");
  const whole = await page.evaluate(async (source) => {
    const pool = await window.holdfast.connect();
    const session = await pool.createSession(Uint8Array.from(atob(source), (character) => character.charCodeAt(0)));
    const outputs = await session.run({ x: { type: "float32", dims: [1], data: Float32Array.of(42) } });
    const found = { plan: session.plan, stages: session.stages.length, y: outputs["y"]?.data[0] };
    await session.release();
    return found;
  }, IDENTITY);
  expect(whole).toMatchObject({ stages: 1, y: 42, plan: { shardsMax: 1 } });
  expect(whole.plan.reason).toMatch(/^The model runs whole: .+\.$/);
  await expectOneHost(browser);
});

test("feeds that do not fit are refused, and the session goes on", async ({ browser, page }) => {
  test.setTimeout(120_000);
  await installWitness(browser, page);
  await keepSession(page, { shards: 2 });
  const cases: Record<string, Expected> = {
    "an unknown name": { code: "BAD_FEEDS", category: "UNKNOWN", message: /no input "token_ids".*input_ids/ },
    "a missing feed": { code: "BAD_FEEDS", category: "UNKNOWN", message: /"position_ids" is missing/ },
    "a wrong rank": { code: "BAD_FEEDS", category: "UNKNOWN", message: /rank 2/ },
    "a wrong dtype": { code: "BAD_FEEDS", category: "UNKNOWN", message: /int32.*int64/ },
    "another number of elements": { code: "BAD_FEEDS", category: "UNKNOWN", message: /3 elements/ },
    "plain numbers": { code: "BAD_FEEDS", category: "UNKNOWN", message: /no data/ },
    // Dims that the graph leaves open: only the runtime can tell that they contradict each other.
    "a mask of another length": { code: "RUN_FAILED", category: "UNKNOWN", message: /correct the input/ },
    "a token that is not in the vocabulary": { code: "RUN_FAILED", category: "UNKNOWN", message: /correct the input/ },
  };
  for (const [name, expected] of Object.entries(cases)) {
    const result = await page.evaluate(async (wanted) => {
      const tensor = (values: number[], dims = [1, values.length]) => ({
        type: "int64",
        dims,
        data: BigInt64Array.from(values, BigInt) as unknown,
      });
      const good = { input_ids: tensor([68, 390]), attention_mask: tensor([1, 1]), position_ids: tensor([0, 1]) };
      const { position_ids: _, ...missing } = good;
      const feeds: Record<string, Record<string, ReturnType<typeof tensor>>> = {
        "an unknown name": { ...good, token_ids: tensor([1]) },
        "a missing feed": missing,
        "a wrong rank": { ...good, input_ids: tensor([68, 390], [2]) },
        "a wrong dtype": { ...good, input_ids: { type: "int32", dims: [1, 2], data: Int32Array.of(68, 390) } },
        "another number of elements": { ...good, input_ids: tensor([68, 390, 398], [1, 2]) },
        "plain numbers": { ...good, input_ids: { type: "int64", dims: [1, 2], data: [68, 390] } },
        "a mask of another length": { ...good, attention_mask: tensor([1, 1, 1, 1, 1]) },
        "a token that is not in the vocabulary": { ...good, input_ids: tensor([68, 99_999]) },
      };
      const { session } = window.kept;
      return window.witness.during(async () => session?.run(feeds[wanted] ?? {}, { reset: true }));
    }, name);
    expectRejected(result, expected, name);
  }
  // The same prompt in the session that refused all that, and in the one beside it.
  const [own, other] = await page.evaluate(async () => {
    const ids: number[][] = [[], []];
    for (const [at, session] of [window.kept.session, window.witness.session].entries())
      for await (const { id } of session?.generate([68, 390], { maxNewTokens: 8 }) ?? []) ids[at]?.push(id);
    await window.kept.session?.release();
    return ids;
  });
  expect(own).toHaveLength(8);
  expect(own).toEqual(other);
});

test("options that are not valid are refused at once, each by its name", async ({ browser, page }) => {
  test.setTimeout(120_000);
  await installWitness(browser, page);
  const bad: [object, RegExp][] = [
    [{ shards: 0 }, /shards/],
    [{ shards: 1.5 }, /shards/],
    [{ shards: "2" }, /shards/],
    [{ shards: 1_001 }, /shards/],
    [{ shardingStrategy: "diagonal" }, /shardingStrategy/],
    [{ shardingStrategy: "attention_based" }, /shardingStrategy/],
    [{ faultToleranceLevel: "extreme" }, /faultToleranceLevel/],
    [{ recoveryStrategy: "hope" }, /recoveryStrategy/],
    [{ faultToleranceLevel: "low", recoveryStrategy: "coordinated" }, /low.*coordinated/],
    [{ faultToleranceLevel: "low", recoveryStrategy: "failover" }, /low.*failover/],
    [{ executionProviders: [] }, /executionProviders/],
    [{ executionProviders: ["cuda"] }, /executionProviders/],
    [{ executionProviders: "wasm" }, /executionProviders/],
    [{ place: "cloud" }, /place/],
    [{ place: "offscreen", faultToleranceLevel: "medium" }, /offscreen/],
    [{ stateBindings: "none" }, /stateBindings/],
    [{ stateBindings: { nowhere: "nothing" } }, /nowhere/],
    [{ shard: 3 }, /shard/],
  ];
  for (const [options, message] of bad) {
    const error = await page.evaluate(
      async (model, wanted) => {
        const pool = await window.holdfast.connect();
        return window.rejection(pool.createSession(model, wanted as object));
      },
      MODEL,
      options,
    );
    const what = JSON.stringify(options);
    expect(error, what).toMatchObject({ typed: true, code: "BAD_OPTIONS", category: "UNKNOWN" });
    expect(error?.message, what).toMatch(message);
  }
  const unsupported = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    return window.rejection(pool.createSession(model, { faultToleranceLevel: "critical", shards: 5 }));
  }, MODEL);
  expect(unsupported).toMatchObject({ typed: true, code: "TOO_MANY_HOSTS" });
  expect(unsupported?.message).toMatch(/needs 10 more replicas.*fewer shards/);
  const others = await page.evaluate(
    async (model, tokenizer) => {
      const pool = await window.holdfast.connect();
      const { session } = window.witness;
      const first = (prompt: string | number[], options: object) =>
        window.rejection(session.generate(prompt, options).next());
      const files = {
        "no tokenizer file": await window.rejection(pool.createSession(model, { tokenizer: "/nowhere.json" })),
        "a model as tokenizer": await window.rejection(pool.createSession(model, { tokenizer: model })),
        "a tokenizer without JSON": await window.rejection(pool.createSession(model, { tokenizer: `${tokenizer}x` })),
      };
      const calls = {
        "no model": await window.rejection(pool.createSession(42 as unknown as string)),
        "a text prompt without a tokenizer": await first("Call me", {}),
        "an empty prompt": await first([], {}),
        "no tokens": await first([1], { maxNewTokens: 0 }),
        "a negative temperature": await first([1], { temperature: -1 }),
        "a seed that is no number": await first([1], { seed: Number.NaN }),
        "a fraction of a top-k": await first([1], { topK: 0.5 }),
      };
      return { files, calls };
    },
    MODEL,
    TOKENIZER,
  );
  for (const [what, error] of Object.entries(others.files))
    expect(error, what).toMatchObject({ typed: true, code: "MODEL_FETCH_FAILED", category: "CONNECTION" });
  for (const [what, error] of Object.entries(others.calls))
    expect(error, what).toMatchObject({ typed: true, code: "BAD_OPTIONS", category: "UNKNOWN" });
  await expectOneHost(browser);
});

test("what is aborted ends with ABORTED, while loading, while running and while generating", async ({
  browser,
  page,
}) => {
  test.setTimeout(120_000);
  await installWitness(browser, page);
  const aborted: Expected = { code: "ABORTED", category: "UNKNOWN", message: /aborted/ };
  const loading = await page.evaluate(async () => {
    const pool = await window.holdfast.connect();
    const control = new AbortController();
    return window.witness.during(() => {
      setTimeout(() => control.abort(), 300);
      return pool.createSession("/faults/stall.onnx", { shards: 2, signal: control.signal });
    });
  });
  expectRejected(loading, aborted, "while it downloads");
  const cutting = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    const control = new AbortController();
    return window.witness.during(() =>
      pool.createSession(model, {
        shards: 2,
        signal: control.signal,
        onEvent: (event) => event.type === "progress" && event.phase === "weights" && control.abort(),
      }),
    );
  }, MODEL);
  expectRejected(cutting, aborted, "while its hosts load");
  await expectOneHost(browser);
  const before = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    return window.witness.during(() => pool.createSession(model, { signal: AbortSignal.abort() }));
  }, MODEL);
  expectRejected(before, aborted, "before it began");

  const { run, sent, generation, taken, after } = await page.evaluate(
    async (recogniser, model) => {
      const pool = await window.holdfast.connect();
      const reader = await pool.createSession(recogniser, { shards: 1 });
      const control = new AbortController();
      const x = { type: "float32", dims: [1, 3, 48, 320], data: new Float32Array(3 * 48 * 320) };
      const early = reader.run({ x }, { signal: control.signal });
      control.abort();
      const first = await window.witness.during(() => early);
      const underWay = new AbortController();
      const running = window.rejection(reader.run({ x }, { signal: underWay.signal }));
      // Long enough for the run to be sent, too short for any answer: answers are tasks.
      for (let turn = 0; turn < 20; turn++) await null;
      underWay.abort();
      const middle = await running;
      const later = await reader.run({ x });
      await reader.release();

      const writer = await pool.createSession(model, { shards: 1 });
      const stop = new AbortController();
      const ids: number[] = [];
      const second = await window.witness.during(async () => {
        for await (const { id } of writer.generate([68, 390], { maxNewTokens: 500, signal: stop.signal })) {
          ids.push(id);
          if (ids.length === 3) stop.abort();
        }
      });
      const again: number[] = [];
      for await (const { id } of writer.generate([68, 390], { maxNewTokens: 3 })) again.push(id);
      await writer.release();
      return {
        run: first,
        sent: middle,
        generation: second,
        taken: ids,
        after: [Object.keys(later).length, again] as const,
      };
    },
    RECOGNISER,
    MODEL,
  );
  expectRejected(run, aborted, "a run");
  expect(sent).toMatchObject({ typed: true, code: "ABORTED" });
  expectRejected(generation, aborted, "a generation");
  expect(after).toEqual([1, taken.slice(0, 3)]);
});

test("a storage quota that the model exceeds is named, and there is room again afterwards", async ({
  launch,
  site,
}) => {
  test.setTimeout(180_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  await installWitness(browser, page);
  // The override lasts as long as the debugger's session that made it.
  const popup = await browser.newPage(browser.extensionUrl("popup/popup.html"));
  const origin = browser.extensionUrl("").replace(/\/$/, "");
  const { usage = 0 } = await popup.evaluate(() => navigator.storage.estimate());
  await popup.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: usage + 3_000_000 });
  const open = () =>
    page.evaluate(async (recogniser) => {
      const pool = await window.holdfast.connect();
      return window.witness.during(async () => {
        const session = await pool.createSession(recogniser, { shards: 2 });
        await session.release();
      });
    }, RECOGNISER);
  expectRejected(await open(), { code: "QUOTA_EXCEEDED", category: "MEMORY", message: /quota/ }, "quota");
  await expectOneHost(browser);
  await popup.send("Storage.overrideQuotaForOrigin", { origin });
  expect((await open()).error).toBeNull();
});

test("without a GPU, webgpu alone is unavailable, and wasm beside it is taken", async ({ launch, site }) => {
  test.setTimeout(120_000);
  const { browser, page } = await launchConsented(launch, site.origin, { gpu: false });
  await installWitness(browser, page);
  const result = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    return window.witness.during(() => pool.createSession(model, { executionProviders: ["webgpu"] }));
  }, MODEL);
  expectRejected(
    result,
    { code: "PROVIDER_UNAVAILABLE", category: "WEBGPU", message: /webgpu.*List wasm/ },
    "webgpu alone",
  );
  const providers = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    const session = await pool.createSession(model, { executionProviders: ["webgpu", "wasm"], shards: 2 });
    const found = session.stages.map(({ provider }) => provider);
    await session.release();
    return found;
  }, MODEL);
  expect(providers).toEqual(["wasm", "wasm"]);
  await expectOneHost(browser);
});

test("a browser without the extension says so, and an aborted connect too", async ({ launch, site }) => {
  const browser = await launch({ extensionDir: null });
  const page = await openPage(browser, site.origin);
  const [absent, aborted, before] = await page.evaluate(() =>
    Promise.all([
      window.rejection(window.holdfast.connect({ timeoutMs: 2_000 })),
      window.rejection(window.holdfast.connect({ timeoutMs: 2_000_000, signal: AbortSignal.timeout(100) })),
      window.rejection(window.holdfast.connect({ signal: AbortSignal.abort() })),
    ]),
  );
  expect(absent).toMatchObject({ typed: true, code: "EXTENSION_ABSENT", category: "CONNECTION" });
  expect(absent?.message).toMatch(/Install or enable/);
  expect(aborted).toMatchObject({ typed: true, code: "ABORTED" });
  expect(before).toMatchObject({ typed: true, code: "ABORTED" });
});
