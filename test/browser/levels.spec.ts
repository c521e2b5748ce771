/** What the levels below medium promise when a host dies: no more, and no less. */
import { expect, type Page, test } from "./harness/fixtures.ts";
import { HeldHost } from "./support/hold.ts";
import { eventsOf, MOBY, openSession, REFERENCE, release } from "./support/moby.ts";

const OCR = "/models/ocr/ch_ppocr_mobile_v2.0_cls_infer.onnx";
const PROMPT = (REFERENCE[0] as (typeof REFERENCE)[number]).prompt_ids;

test.describe.configure({ timeout: 240_000 });

interface Outcome {
  readonly code: string | null;
  /** The outputs' numbers, all of them. */
  readonly values: readonly number[];
}

test("level none: the run under way fails with HOST_LOST, the next one works", async ({ browser, page }) => {
  const [hostId = ""] = await openSession(page, OCR, { shards: 2, faultToleranceLevel: "none" });
  const undisturbed = await classify(page);
  expect(undisturbed).toMatchObject({ code: null });
  const pid = await browser.processes.pidOfHost(hostId);
  const held = await HeldHost.arm(browser, hostId, "answer", 1);
  const failing = classify(page);
  await held.reached();
  browser.processes.kill(pid);
  expect(await failing).toEqual({ code: "HOST_LOST", values: [] });
  await held.release();
  expect(await classify(page)).toEqual(undisturbed);
  await release(page);
});

test("level low: a stateless run is done again", async ({ browser, page }) => {
  const [, hostId = ""] = await openSession(page, OCR, { shards: 2, faultToleranceLevel: "low" });
  const undisturbed = await classify(page);
  const pid = await browser.processes.pidOfHost(hostId);
  const held = await HeldHost.arm(browser, hostId, "compute", 1);
  const running = classify(page);
  await held.reached();
  browser.processes.kill(pid);
  await held.release();
  expect(await running).toEqual(undisturbed);
  // Told when the answer has proved it, so a moment after the answer.
  await expect.poll(async () => (await eventsOf(page, "recovered")).length).toBeGreaterThan(0);
  await release(page);
});

for (const [level, code] of [
  ["none", "HOST_LOST"],
  ["low", "STATE_LOST"],
] as const) {
  test(`level ${level}: lost state is said to be lost until a reset, never made up`, async ({ browser, page }) => {
    const [, hostId = ""] = await openSession(page, MOBY, {
      shards: 2,
      faultToleranceLevel: level,
      executionProviders: ["wasm"],
    });
    const undisturbed = await step(page, PROMPT, 0);
    expect(undisturbed).toMatchObject({ code: null });
    const pid = await browser.processes.pidOfHost(hostId);
    const held = await HeldHost.arm(browser, hostId, "dispatch", 1);
    const failing = step(page, [314], PROMPT.length);
    await held.reached();
    browser.processes.kill(pid);
    expect(await failing).toMatchObject({ code });
    await held.release();
    expect(await step(page, [314], PROMPT.length)).toMatchObject({ code: "STATE_LOST" });
    expect(await step(page, PROMPT, 0)).toEqual(undisturbed);
    expect(await step(page, [314], PROMPT.length)).toMatchObject({ code: null });
    await release(page);
  });
}

/** One picture's worth of made-up pixels. */
function classify(page: Page): Promise<Outcome> {
  return page.evaluate(async () => {
    const { session } = window.underTest;
    const dims = [1, 3, 48, 192];
    const data = Float32Array.from({ length: 3 * 48 * 192 }, (_, at) => Math.sin(at / 7));
    try {
      const name = session.inputs[0]?.name ?? "";
      const outputs = await session.run({ [name]: { type: "float32", dims, data } });
      return { code: null, values: Object.values(outputs).flatMap((tensor) => [...(tensor.data as Float32Array)]) };
    } catch (error) {
      return { code: (error as { code: string }).code, values: [] };
    }
  });
}

/** One step of the decoder; a past of 0 starts anew. */
function step(page: Page, ids: readonly number[], past: number): Promise<Outcome> {
  return page.evaluate(
    async (some, before) => {
      const int64 = (values: readonly number[]) => ({
        type: "int64",
        dims: [1, values.length],
        data: BigInt64Array.from(values, BigInt),
      });
      const feeds = {
        input_ids: int64(some),
        attention_mask: int64(Array.from({ length: before + some.length }, () => 1)),
        position_ids: int64(some.map((_, at) => before + at)),
      };
      try {
        const outputs = await window.underTest.session.run(feeds, { reset: before === 0 });
        const { data } = outputs["logits"] as { data: unknown };
        return { code: null, values: [...(data as Float32Array)] };
      } catch (error) {
        return { code: (error as { code: string }).code, values: [] };
      }
    },
    ids,
    past,
  );
}
