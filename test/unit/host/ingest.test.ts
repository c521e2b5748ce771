import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { toErrorData } from "../../../src/base/errors.ts";
import { RpcPeer, servePort } from "../../../src/base/rpc.ts";
import { type Ingest, type IngestStores, serveIngest } from "../../../src/host/ingest.ts";
import type { IngestCalls } from "../../../src/protocol/ingest.ts";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";

const MODELS = join(import.meta.dirname, "../../models/moby-llama");
const WHOLE = new Uint8Array(readFileSync(join(MODELS, "onnx/model.onnx")));
const GRAPH = new Uint8Array(readFileSync(join(MODELS, "onnx-external/model.onnx")));
const DATA = new Uint8Array(readFileSync(join(MODELS, "onnx-external/model.onnx_data")));

interface Told {
  readonly progress: [string, number, number | null][];
  planned: string | null;
  failed: string | null;
}

/** A store in memory; what is on `web` may be read by anybody. */
function taking(web: Readonly<Record<string, Uint8Array>> = {}) {
  const blobs = new Map<string, Uint8Array>();
  const discarded: string[] = [];
  const told: Told = { progress: [], planned: null, failed: null };
  let reading: AbortSignal | null = null;
  const put = (bytes: Uint8Array): string => {
    const digest = createHash("sha256").update(bytes).digest("hex");
    blobs.set(digest, bytes);
    return digest;
  };
  const stores: IngestStores = {
    fetchBlob: async ({ url }, signal, onBytes) => {
      if (url === "https://slow/") {
        reading = signal;
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      }
      const bytes = web[url];
      if (bytes === undefined) return { refused: "CORS" };
      onBytes(bytes.length, bytes.length);
      return { digest: put(bytes), size: bytes.length };
    },
    beginBlob: async (name) => {
      let parts: Uint8Array[] = [];
      return {
        // Room is made in between: the next piece may overtake a store that does not wait.
        append: async (bytes) => {
          if (parts.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
          parts.push(bytes);
        },
        restart: async () => {
          parts = [];
        },
        finish: async () => put(new Uint8Array(Buffer.concat(parts))),
        discard: async () => void discarded.push(name),
      };
    },
    openBlob: async (digest) => {
      const bytes = blobs.get(digest) ?? new Uint8Array();
      return { size: bytes.length, read: (at, length) => bytes.slice(at, at + length), close: () => undefined };
    },
    writePlan: async () => undefined,
  };
  const { port1, port2 } = new MessageChannel();
  const ingest: Ingest = serveIngest(
    port2,
    parseSessionOptions({}),
    { hosts: [], evidence: [], families: [], stages: [] },
    stores,
    {
      progress: (phase, loaded, total) => void told.progress.push([phase, loaded, total]),
      planned: (planId) => {
        told.planned = planId;
      },
      failed: (error) => {
        told.failed = toErrorData(error).code;
      },
      now: () => performance.now(),
    },
  );
  const page = new RpcPeer<IngestCalls, Record<never, never>, Record<never, never>, Record<never, never>>(
    (message) => port1.postMessage(message),
    {},
    {},
  );
  servePort(port1, page);
  open.push(port1);
  return { page, told, blobs, discarded, ingest, reading: () => reading };
}

const open: MessagePort[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

const begin = (path: string, size: number | null = null) => ({ path, size, digest: null });

describe("a model that a page sends", () => {
  it("is put together in order, whatever the store waits for, and planned", async () => {
    const { page, told, blobs } = taking();
    await page.call("begin", begin("", WHOLE.length));
    const pieces = [];
    for (let at = 0; at < WHOLE.length; at += 1_000_000)
      pieces.push(page.call("chunk", { path: "", bytes: WHOLE.slice(at, at + 1_000_000) }));
    await Promise.all(pieces);
    await page.call("end", { path: "" });
    await page.call("finish", null);
    expect([...blobs.keys()]).toEqual([createHash("sha256").update(WHOLE).digest("hex")]);
    expect(told.planned).toMatch(/^[0-9a-f]{64}$/);
    expect(told.progress.at(-1)).toEqual(["plan", WHOLE.length, WHOLE.length]);
  });

  it("names the external data that it lacks, and has the same plan however its files came", async () => {
    const first = taking({ "https://hub/model.onnx": GRAPH, "https://hub/model.onnx_data": DATA });
    expect(await first.page.call("fetch", { path: "", url: "https://hub/model.onnx", digest: null })).toEqual({
      stored: true,
      why: null,
    });
    expect(await first.page.call("missing", null)).toEqual(["model.onnx_data"]);
    const url = "https://hub/model.onnx_data";
    await first.page.call("fetch", { path: "model.onnx_data", url, digest: null });
    expect(await first.page.call("missing", null)).toEqual([]);
    await first.page.call("finish", null);

    const second = taking();
    for (const [path, bytes] of [
      ["", GRAPH],
      ["model.onnx_data", DATA],
    ] as const) {
      expect((await second.page.call("fetch", { path, url: "https://private/", digest: null })).stored).toBe(false);
      await second.page.call("begin", begin(path));
      await second.page.call("chunk", { path, bytes });
      await second.page.call("end", { path });
    }
    await second.page.call("finish", null);
    expect(second.told.planned).toBe(first.told.planned);
  });

  it("may be begun anew while it comes", async () => {
    const { page, blobs } = taking();
    await page.call("begin", begin(""));
    await page.call("chunk", { path: "", bytes: Uint8Array.of(1, 2, 3) });
    await page.call("restart", { path: "", size: 1 });
    await page.call("chunk", { path: "", bytes: Uint8Array.of(9) });
    await page.call("end", { path: "" });
    expect([...blobs.values()]).toEqual([Uint8Array.of(9)]);
  });
});

describe("a page that is not to be trusted", () => {
  it.each([
    ["begin", begin("x")],
    ["chunk", { path: "", bytes: Uint8Array.of(1) }],
    ["fetch", { path: "x", url: "https://hub/x", digest: null }],
    ["end", { path: "" }],
    ["missing", null],
    ["finish", null],
  ] as const)("gets nothing more taken after finish: %s", async (method, params) => {
    const { page, told } = taking({ "https://hub/x": WHOLE });
    await page.call("fetch", { path: "", url: "https://hub/x", digest: null });
    await page.call("finish", null);
    await expect(page.call(method, params)).rejects.toMatchObject({ code: "BAD_OPTIONS" });
    // The session goes on: it is not the page's model that failed.
    expect(told.failed).toBeNull();
  });

  it.each([
    ["begin", begin("")],
    ["fetch", { path: "", url: "https://hub/x", digest: null }],
  ] as const)("cannot begin one path twice: %s", async (method, params) => {
    const { page, told, discarded } = taking({ "https://hub/x": WHOLE });
    await page.call("begin", begin(""));
    await expect(page.call(method, params)).rejects.toMatchObject({
      code: "BAD_OPTIONS",
      message: expect.stringContaining("twice"),
    });
    // The first one's file is let go, not leaked.
    expect([told.failed, discarded]).toEqual(["BAD_OPTIONS", [""]]);
  });

  it.each(["constructor", "__proto__", "toString"])("cannot pass %s off as a file that came", async (path) => {
    const { page, blobs } = taking();
    await page.call("begin", begin(path));
    await page.call("end", { path });
    expect(blobs.size).toBe(1);
    await expect(page.call("finish", null)).rejects.toMatchObject({
      code: "BAD_MODEL",
      message: expect.stringContaining("No model file"),
    });
  });

  it.each<[string, "begin" | "chunk" | "fetch" | "end" | "restart", unknown]>([
    ["a path that is no text", "begin", { path: 7, size: null, digest: null }],
    ["a path without end", "begin", { path: "x".repeat(1_001), size: null, digest: null }],
    ["a digest that is no text", "begin", { path: "", size: null, digest: 7 }],
    ["a size that is no number", "begin", { path: "", size: "1", digest: null }],
    ["a size that is not whole", "begin", { path: "", size: Number.NaN, digest: null }],
    ["a size below nothing", "begin", { path: "", size: -1, digest: null }],
    ["a piece of what was not begun", "chunk", { path: "y", bytes: Uint8Array.of(1) }],
    ["the end of what was not begun", "end", { path: "y" }],
    ["a new start of what was not begun", "restart", { path: "y", size: null }],
    ["a URL that is no text", "fetch", { path: "", url: {}, digest: null }],
  ])("is told what is wrong with %s", async (_, method, params) => {
    const { page } = taking();
    await expect(page.call(method, params as IngestCalls[typeof method]["params"])).rejects.toMatchObject({
      code: "BAD_OPTIONS",
    });
  });

  it("cannot begin more files at once than there are handles for", async () => {
    const { page, discarded } = taking();
    for (let at = 0; at < 4; at++) await page.call("begin", begin(`${at}`));
    await expect(page.call("begin", begin("4"))).rejects.toMatchObject({ code: "LIMIT_REACHED" });
    expect(discarded.length).toBe(4);
  });

  it("must send bytes", async () => {
    const { page } = taking();
    await page.call("begin", begin(""));
    const bytes = "text" as unknown as Uint8Array;
    await expect(page.call("chunk", { path: "", bytes })).rejects.toMatchObject({ code: "BAD_OPTIONS" });
  });

  it("may stop: what came is thrown away, and a download stops where it is", async () => {
    const { page, told, discarded, reading } = taking();
    await page.call("begin", begin("data"));
    const slow = page.call("fetch", { path: "", url: "https://slow/", digest: null });
    const ended = expect(slow).rejects.toMatchObject({ code: "ABORTED" });
    await expect(page.call("cancel", null)).rejects.toMatchObject({ code: "ABORTED" });
    await ended;
    expect([told.failed, discarded, reading()?.aborted]).toEqual(["ABORTED", ["data"], true]);
  });
});

it("a host that is closed lets its downloads and files go", async () => {
  const { page, told, discarded, ingest, reading } = taking();
  await page.call("begin", begin("data"));
  void page.call("fetch", { path: "", url: "https://slow/", digest: null }).catch(() => undefined);
  await expect.poll(() => reading()).not.toBeNull();
  ingest.stop();
  await expect.poll(() => [told.failed, discarded.length, reading()?.aborted]).toEqual(["HOST_LOST", 1, true]);
});
