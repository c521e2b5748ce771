import * as ort from "onnxruntime-web/wasm";
import { describe, expect, it } from "vitest";
import { Builder } from "../../models/generate/builder.ts";
import { bytesOf } from "../../models/generate/model.ts";
import { filesOf } from "../../models/generate/serialise.ts";
import {
  FLOAT,
  FLOAT16,
  floatWeight,
  fromHalf,
  keyOf,
  matrixWeight,
  noise,
  toHalf,
} from "../../models/generate/weights.ts";
import { wholeSession } from "../shard/pipeline.ts";

describe("seeded weights", () => {
  it("are the same in any parts", () => {
    const weights = [
      matrixWeight("m", FLOAT, [13, 7], { key: 5, scale: 1 }),
      matrixWeight("h", FLOAT16, [13, 7], { key: 5, scale: 1 }),
      floatWeight("f", FLOAT, [91], (index) => noise(3, index)),
    ];
    for (const { part, bytes } of weights) {
      const whole = part(0, 91);
      expect(whole.length).toBe(bytes);
      expect(Buffer.concat([part(0, 20), part(20, 1), part(21, 70)])).toEqual(Buffer.from(whole));
    }
  });

  it("are spread evenly, without a trend between neighbours or keys", () => {
    const values = Float64Array.from({ length: 1 << 16 }, (_, index) => noise(keyOf(1, "x"), index));
    const mean = (of: (index: number) => number): number =>
      values.reduce((sum, _, index) => sum + of(index), 0) / values.length;
    const at = (index: number): number => values[index % values.length] ?? 0;
    // Four times what chance allows.
    const none = (value: number): void => expect(Math.abs(value)).toBeLessThan(4 / Math.sqrt(3 * values.length));
    none(mean(at));
    none(mean((index) => at(index) ** 2 - 1 / 3));
    for (const step of [1, 2, 32, 1024]) none(mean((index) => at(index) * at(index + step)));
    none(mean((index) => at(index) * noise(keyOf(1, "y"), index)));
    expect(Math.max(...values.subarray(0, 4096))).toBeLessThan(1);
  });

  it("become the halves that onnxruntime makes of them", async () => {
    const tricky = [
      0, -0, 1, -1, 65504, 65519.99, 65520, 1e9, -1e9, 6e-8, 2.9e-8, 3e-8, 6.1e-5, 6.097e-5, 1.00048828125,
      1.0009765625, 0.1,
    ];
    const floats = Float32Array.from([
      ...tricky,
      ...Array.from({ length: 500 }, (_, i) => noise(1, i) * 10 ** ((i % 12) - 8)),
    ]);
    const g = new Builder({ opset: 17, float: FLOAT, linear: "float", seed: 1, constants: "nodes" });
    g.output(g.op("/Cast", [g.input("x", "float", ["n"])], { to: FLOAT16 }), "y", "float16", ["n"]);
    const [file] = filesOf(g, { path: "cast.onnx", ir: 8, opset: 17, externalFiles: 0 });
    const session = await wholeSession(new Map([["", file === undefined ? new Uint8Array() : bytesOf(file)]]));
    const { y } = await session.run({ x: new ort.Tensor("float32", floats, [floats.length]) });
    expect(toHalf(floats)).toEqual(new Uint16Array(((y as ort.Tensor).data as Uint16Array).buffer.slice(0)));
  });

  it("come back from halves", () => {
    const all = Uint16Array.from({ length: 0x7c00 }, (_, index) => index);
    expect(toHalf(fromHalf(all))).toEqual(all);
    expect(fromHalf(Uint16Array.of(0xfc00, 0x7e00))).toEqual(Float32Array.of(-Infinity, Number.NaN));
  });
});
