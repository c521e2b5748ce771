import { statSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { MODEL } from "./checks/decoder.ts";
import { statusOf } from "./checks/status.ts";
import { expect, test } from "./harness/fixtures.ts";

const MODEL_BYTES = statSync(join(ROOT, "test/models/moby-llama/onnx/model.onnx")).size;

test("each of three hosts holds its own shard's weights only, in an OS process of its own", async ({
  browser,
  page,
}) => {
  test.setTimeout(120_000);
  const { stages, planned } = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    const session = await pool.createSession(model, { shards: 3 });
    return { stages: session.stages, planned: session.plan.shards.map(({ weightBytes }) => weightBytes) };
  }, MODEL);

  expect(stages.map(({ stage }) => stage)).toEqual([0, 1, 2]);
  expect(stages.map(({ weightBytes }) => weightBytes)).toEqual(planned);
  const status = await statusOf(browser);
  expect(
    status.hosts.toSorted((a, b) => a.stage - b.stage).map(({ hostId, weightBytes }) => ({ hostId, weightBytes })),
  ).toEqual(stages.map(({ hostId, weightBytes }) => ({ hostId, weightBytes })));

  // The embedding is tied: the first and the last shard both need it, and nothing else is held twice.
  const embeddingBytes = 2048 * 192 * 4;
  const total = planned.reduce((sum, bytes) => sum + bytes, 0);
  const weightsInFile = 2_755_008 * 4;
  expect(total - embeddingBytes).toBeGreaterThan(weightsInFile * 0.99);
  expect(total - embeddingBytes).toBeLessThan(MODEL_BYTES);
  for (const bytes of planned) {
    expect(bytes).toBeGreaterThan(MODEL_BYTES * 0.15);
    expect(bytes).toBeLessThan(MODEL_BYTES * 0.6);
  }

  const pids = await Promise.all(stages.map(({ hostId }) => browser.processes.pidOfHost(hostId)));
  expect(new Set(pids).size).toBe(3);
  const others = [await browser.processes.pidOfHostTabs(), await browser.processes.pidOfPage(page.targetId)];
  for (const pid of others) expect(pids).not.toContain(pid);
  expect(await browser.processes.rendererPids()).toEqual(expect.arrayContaining(pids));
});

test("each host is sent the bytes of its own shard and no more", async ({ page }) => {
  test.setTimeout(120_000);
  const { weights, planned, downloads, whole } = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    const most: Record<number, number> = {};
    const complete: number[] = [];
    let loaded = 0;
    const session = await pool.createSession(model, {
      shards: 2,
      onEvent: (event) => {
        if (event.type !== "progress") return;
        if (event.phase === "weights" && event.stage !== null) {
          most[event.stage] = event.loadedBytes;
          if (event.loadedBytes === event.totalBytes) complete.push(event.stage);
        }
        if (event.phase === "download") loaded = event.loadedBytes;
      },
    });
    await session.release();
    return {
      weights: most,
      planned: session.plan.shards.map(({ weightBytes }) => weightBytes),
      downloads: loaded,
      whole: complete.toSorted(),
    };
  }, MODEL);
  for (const [stage, bytes] of planned.entries()) {
    // Constants of up to 1 KB travel inside the graph.
    expect(weights[stage]).toBeGreaterThan(bytes * 0.99);
    expect(weights[stage]).toBeLessThanOrEqual(bytes);
  }
  expect(whole).toEqual([0, 1]);
  expect(downloads).toBe(MODEL_BYTES);
});
