import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ModelSource, openSource } from "../../../src/page/source.ts";

const HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

// What a page has and Node lacks.
beforeAll(() => {
  (globalThis as { location?: unknown }).location = { href: "https://site.example/app/index.html" };
});
afterAll(() => {
  delete (globalThis as { location?: unknown }).location;
});

async function urlOf(model: ModelSource, sibling?: string): Promise<string> {
  const opened = await openSource(model);
  const file = sibling === undefined ? opened.files[0] : await opened.sibling?.(sibling);
  return file?.content.kind === "url" ? file.content.url.href : "no url";
}

function code(model: unknown): Promise<{ code: string }> {
  return openSource(model as ModelSource).then(
    () => ({ code: "taken" }),
    (error) => error,
  );
}

describe("where a model is", () => {
  it.each<[ModelSource, string]>([
    ["model.onnx", "https://site.example/app/model.onnx"],
    ["models/tiny.onnx", "https://site.example/app/models/tiny.onnx"],
    ["/models/tiny", "https://site.example/models/tiny"],
    ["./models/tiny", "https://site.example/app/models/tiny"],
    [new URL("https://cdn.example/m.onnx"), "https://cdn.example/m.onnx"],
    [{ url: "m.onnx" }, "https://site.example/app/m.onnx"],
    ["org/name", "https://huggingface.co/org/name/resolve/main/onnx/model.onnx"],
    [{ repo: "org/my.name-2" }, "https://huggingface.co/org/my.name-2/resolve/main/onnx/model.onnx"],
    [
      { repo: "org/name", revision: "refs/pr/1", file: "onnx/a b.onnx", endpoint: "http://127.0.0.1:8080/hub/" },
      "http://127.0.0.1:8080/hub/org/name/resolve/refs%2Fpr%2F1/onnx/a%20b.onnx",
    ],
  ])("%o: %s", async (model, url) => {
    expect(await urlOf(model)).toBe(url);
  });

  it("external data is beside the graph, with the same headers and without the same query", async () => {
    expect(await urlOf({ repo: "org/name" }, "model.onnx_data")).toBe(
      "https://huggingface.co/org/name/resolve/main/onnx/model.onnx_data",
    );
    expect(await urlOf("https://cdn.example/a/m.onnx?download=1", "weights/w 1.bin")).toBe(
      "https://cdn.example/a/weights/w%201.bin",
    );
    const { sibling } = await openSource({ url: "m.onnx", headers: { Authorization: "Bearer x" } });
    expect((await sibling?.("m.onnx_data"))?.content).toMatchObject({ headers: { authorization: "Bearer x" } });
  });

  it.each(["../secret", "/etc/passwd", "a//b", "https://evil.example/x", "a\\b", "", "./x", "a/../../b"])(
    "a graph cannot lead to %s",
    async (path) => {
      const { sibling } = await openSource("m.onnx");
      await expect(sibling?.(path)).rejects.toMatchObject({ code: "BAD_MODEL" });
    },
  );

  it("external data that is given is all there is", async () => {
    const given = await openSource({ graph: "m.onnx", externalData: { data: new Uint8Array(3) } });
    expect([given.sibling, given.files.map(({ path }) => path)]).toEqual([null, ["", "data"]]);
    expect((await openSource({ graph: "m.onnx" })).sibling).not.toBeNull();
    expect((await openSource(new Uint8Array(3))).sibling).toBeNull();
  });
});

describe("what the user picked", () => {
  const files = (...names: string[]) => names.map((name) => new File(["x"], name));
  it("finds the only model, or model.onnx, and what lies beside it", async () => {
    expect((await openSource(files("a.onnx", "a.onnx_data", "b.txt"))).name).toBe("a.onnx");
    const { name, sibling } = await openSource(files("b.onnx", "model.onnx", "model.onnx_data"));
    expect(name).toBe("model.onnx");
    expect((await sibling?.("model.onnx_data"))?.content).toMatchObject({
      kind: "blob",
      blob: { name: "model.onnx_data" },
    });
    await expect(sibling?.("other")).rejects.toMatchObject({ code: "BAD_MODEL" });
    expect((await openSource({ files: files("a.onnx", "b.onnx"), file: "b.onnx" })).name).toBe("b.onnx");
    expect((await openSource(new File(["x"], "mine.onnx"))).name).toBe("mine.onnx");
  });

  it.each([
    ["several", files("a.onnx", "b.onnx")],
    ["none", files("a.txt")],
    ["another", { files: files("a.onnx"), file: "c.onnx" }],
    ["no files", []],
  ])("is refused when it has %s", async (_, model) => {
    expect(await code(model)).toMatchObject({ code: "BAD_OPTIONS" });
  });
});

describe("integrity", () => {
  it("is of the model file, or of each file by its path", async () => {
    const digests = async (model: ModelSource) => {
      const { files, sibling } = await openSource(model);
      return [files.map(({ digest }) => digest), (await sibling?.("d"))?.digest];
    };
    expect(await digests({ url: "m.onnx", integrity: HEX })).toEqual([[HEX], null]);
    expect(await digests({ url: "m.onnx", integrity: { d: `sha256-${HEX}` } })).toEqual([[null], HEX]);
    expect(
      await digests({ graph: "m.onnx", externalData: { d: { url: "d", integrity: HEX } }, integrity: { "": HEX } }),
    ).toEqual([[HEX, HEX], undefined]);
  });
});

it.each<unknown>([
  42,
  null,
  undefined,
  {},
  "http://[",
  { graph: 7 },
  { graph: "m.onnx", externalData: 7 },
  { graph: "m.onnx", externalData: { d: 7 } },
  { url: "m.onnx", headers: { "bad name": "x" } },
  { url: "m.onnx", headers: 7 },
  { url: "m.onnx", integrity: "sha1-x" },
  { url: "m.onnx", integrity: 7 },
  { url: "m.onnx", integrity: { "": 7 } },
  { repo: "name" },
  { repo: "../x/y" },
  { repo: "org/name", revision: "" },
  { repo: "org/name", file: 7 },
  { repo: "org/name", endpoint: "http://[" },
])("%o is refused before anything is fetched", async (model) => {
  expect(await code(model)).toMatchObject({ code: "BAD_OPTIONS" });
});
