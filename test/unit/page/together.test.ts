import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import type { CreateSessionOptions } from "../../../src/page/pool.ts";
import type { ModelSource } from "../../../src/page/source.ts";
import { type CreateSessionsOptions, openTogether } from "../../../src/page/together.ts";

const BYTES: Record<string, number | null> = {
  "det.onnx": 4_000,
  "cls.onnx": 500,
  "rec.onnx": 8_000,
  "far.onnx": null,
};
const OCR = { det: "det.onnx", cls: "cls.onnx", rec: "rec.onnx" };

/** A pool that opens what it is asked for, at the test's word. */
class FakePool {
  readonly asked: { readonly model: ModelSource; readonly shards: number | undefined }[] = [];
  readonly open = new Set<string>();
  weighed = 0;

  constructor(
    private readonly mostShards: Readonly<Record<string, number>> = {},
    private readonly fails: Readonly<Record<string, string>> = {},
  ) {}

  together(models: Readonly<Record<string, ModelSource>>, options: CreateSessionsOptions) {
    return openTogether(models, options, {
      create: (model, own) => this.create(model as string, own),
      weigh: async (model) => {
        this.weighed++;
        return BYTES[model as string] ?? null;
      },
    });
  }

  private async create(model: string, { shards, signal, onEvent }: CreateSessionOptions) {
    this.asked.push({ model, shards });
    await Promise.resolve();
    const limit = this.mostShards[model];
    if (limit !== undefined && (shards ?? 1) > limit) throw new HoldfastError("TOO_MANY_SHARDS", "too many", { limit });
    if (this.fails[model] !== undefined) throw new HoldfastError("BAD_MODEL", this.fails[model]);
    if (signal?.aborted) throw new HoldfastError("ABORTED", "aborted");
    this.open.add(model);
    onEvent?.({ type: "durable", run: 7 });
    return { model, shards, release: async () => void this.open.delete(model) };
  }
}

describe("models that are opened together", () => {
  it("share the hosts by weight", async () => {
    const pool = new FakePool();
    const { det, cls, rec } = await pool.together(OCR, { shards: 6 });
    expect([det?.shards, cls?.shards, rec?.shards]).toEqual([2, 1, 3]);
    expect(Object.keys(await pool.together(OCR, {}))).toEqual(["det", "cls", "rec"]);
  });

  it("are not weighed where there is nothing to share, and run whole unless shards are asked for", async () => {
    const pool = new FakePool();
    await pool.together(OCR, {});
    await pool.together(OCR, { shards: 3 });
    expect(pool.weighed).toBe(0);
    expect(pool.asked.map(({ shards }) => shards)).toEqual([undefined, undefined, undefined, 1, 1, 1]);
  });

  it("whose size nobody tells counts as an average one", async () => {
    const { far, rec } = await new FakePool().together({ far: "far.onnx", rec: "rec.onnx" }, { shards: 4 });
    expect([far?.shards, rec?.shards]).toEqual([2, 2]);
  });

  it("get as many shards as their graph allows", async () => {
    const pool = new FakePool({ "rec.onnx": 1 });
    const { det, rec } = await pool.together(OCR, { shards: 6 });
    expect([det?.shards, rec?.shards]).toEqual([2, 1]);
  });

  it("open all or none: what is open when another fails is released, and the first error is told", async () => {
    const pool = new FakePool({}, { "rec.onnx": "not a model" });
    await expect(pool.together(OCR, {})).rejects.toMatchObject({ code: "BAD_MODEL", message: "not a model" });
    expect([...pool.open]).toEqual([]);
  });

  it("are released when the signal fires while they open", async () => {
    const pool = new FakePool();
    const stop = new AbortController();
    const opening = pool.together(OCR, { signal: stop.signal, onEvent: () => stop.abort() });
    await expect(opening).rejects.toMatchObject({ code: "ABORTED" });
    expect(pool.asked.map(({ model }) => model)).toEqual(["det.onnx", "cls.onnx"]);
    expect([...pool.open]).toEqual([]);
  });

  it("tell which of them an event is of", async () => {
    const told: string[] = [];
    await new FakePool().together(OCR, { onEvent: ({ type }, name) => void told.push(`${name} ${type}`) });
    expect(told).toEqual(["det durable", "cls durable", "rec durable"]);
  });

  it.each([
    [{}, 1],
    [OCR, 2],
    [OCR, 3.5],
  ] as const)("%o with %s shards is refused", async (models, shards) => {
    await expect(new FakePool().together(models, { shards })).rejects.toMatchObject({ code: "BAD_OPTIONS" });
  });
});
