import * as ort from "onnxruntime-web/wasm";
import { describe, expect, it } from "vitest";
import { measureSpeed, SPEED_MODEL } from "../../../src/adapters/speed-probe.ts";
import { SPEED_PROBE_GIVE_UP_MS } from "../../../src/base/limits.ts";
import { parseModel } from "../../../src/shard/model.ts";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

describe("the speed of a provider", () => {
  it("is measured with one product of matrices, whose weights come beside it", () => {
    const { graph } = parseModel(Uint8Array.from(atob(SPEED_MODEL), (char) => char.charCodeAt(0)));
    expect(graph.node.map(({ opType, input, output }) => [opType, ...input, ...output])).toEqual([
      ["MatMul", "x", "w", "y"],
    ]);
    expect(graph.initializer.map(({ name, dims, dataType }) => [name, dims.map(Number), dataType])).toEqual([
      ["w", [512, 512], 1],
    ]);
  });

  it("is the best try's, by a clock that tells what each took", async () => {
    // Each look at the clock is 0.5 ms after the one before, so each run takes that long.
    let now = 0;
    const speed = await measureSpeed(ort, "wasm", () => (now += 0.5));
    expect(speed).toEqual({ bytesPerMs: (4 * 512 * 512) / 0.5, flopsPerMs: (2 * 16 * 512 * 512) / 0.5 });
  });

  it("is told of five runs of each kind where there is no time for more", async () => {
    let looks = 0;
    const after = (SPEED_PROBE_GIVE_UP_MS - 1) / 24;
    const speed = await measureSpeed(ort, "wasm", () => ++looks * after);
    // The start, before and after ten runs, and whether there is time for one more of each.
    expect(looks).toBe(1 + 2 * (2 * 5 + 1));
    expect(speed?.bytesPerMs).toBeGreaterThan(0);
  });

  it.each([1, 2, 5, 12])("is unknown on a device so busy that the time is up at look %s at the clock", async (last) => {
    let looks = 0;
    expect(await measureSpeed(ort, "wasm", () => (++looks > last ? 2 * SPEED_PROBE_GIVE_UP_MS : 0))).toBeNull();
    expect(looks).toBeLessThanOrEqual(last + 3);
  });

  it("is plausible by the real clock", async () => {
    const measure = () => measureSpeed(ort, "wasm", () => performance.now());
    let speed = await measure();
    // Another program's turn may come in the middle of it.
    for (let tries = 0; speed === null && tries < 50; tries++) speed = await measure();
    // From a phone under load to the fastest core there is.
    for (const [value, least, most] of [
      [speed?.flopsPerMs, 1e4, 1e9],
      [speed?.bytesPerMs, 1e4, 1e9],
    ] as const) {
      expect(value).toBeGreaterThan(least);
      expect(value).toBeLessThan(most);
    }
  });

  it("is unknown where the provider does not work, which harms nobody", async () => {
    expect(await measureSpeed(ort, "webnn", () => performance.now())).toBeNull();
    const session = await ort.InferenceSession.create(
      Uint8Array.from(atob(SPEED_MODEL), (char) => char.charCodeAt(0)),
      { externalData: [{ path: "w", data: new Uint8Array(4 * 512 * 512) }] },
    );
    expect(session.inputNames).toEqual(["x"]);
    await session.release();
  });
});
