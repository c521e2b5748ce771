import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { download, type Fetched, type PartialSink, revalidate } from "../../../src/store/download.ts";
import type { Validators } from "../../../src/store/http.ts";
import { etagOf, type Hub, type HubFile, openHub } from "../../browser/harness/hub.ts";
import { Random } from "../random.ts";

const SIZE = 1_000_000;
const PATH = "/model.onnx";
const random = new Random(7);
const BYTES = Uint8Array.from({ length: SIZE }, () => random.below(256));
const OTHER = Uint8Array.from({ length: SIZE }, () => random.below(256));
const STALL_MS = 300;

/** A file in memory; what it has survives the download, as a partial file does. */
class Memory implements PartialSink {
  bytes = 0;
  total: number | null = null;
  etag: string | null = null;
  lastModified: string | null = null;
  restarts = 0;
  private readonly parts: Uint8Array[] = [];

  async restart({ etag, lastModified }: Validators, total: number | null): Promise<void> {
    this.parts.length = 0;
    Object.assign(this, { bytes: 0, etag, lastModified, total });
    this.restarts++;
  }
  async append(bytes: Uint8Array): Promise<void> {
    this.parts.push(bytes.slice());
    this.bytes += bytes.length;
  }
  async keep(): Promise<void> {}

  get content(): Buffer {
    return Buffer.concat(this.parts);
  }
}

let hub: Hub;
let waits: number[];
beforeAll(async () => {
  hub = await openHub();
});
afterAll(() => hub.close());
beforeEach(() => {
  hub.files.clear();
  hub.requests.length = 0;
  waits = [];
});

function serve(file: Partial<HubFile> = {}): HubFile {
  const served: HubFile = { bytes: BYTES, ...file };
  hub.files.set(PATH, served);
  return served;
}

function needs() {
  return {
    fetch: (url: string, init: RequestInit) => fetch(url, init),
    mayRead: (url: string) => !url.includes("secret"),
    sleep: async (ms: number) => void waits.push(ms),
    stallMs: STALL_MS,
  };
}

function get(sink: PartialSink, signal = new AbortController().signal): Promise<Fetched> {
  return download(`${hub.origin}${PATH}`, sink, needs(), signal);
}

const statuses = () => hub.requests.map(({ status }) => status);
const starts = () => hub.requests.map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1]));

describe("a download", () => {
  it("reads a file, and says which version it is and for how long it is fresh", async () => {
    serve({ cacheControl: "max-age=60", lastModified: "Mon, 02 Nov 2026 10:00:00 GMT" });
    const sink = new Memory();
    expect(await get(sink)).toEqual({
      kind: "complete",
      freshMs: 60_000,
      etag: etagOf(BYTES),
      lastModified: "Mon, 02 Nov 2026 10:00:00 GMT",
    });
    expect(sink.content.equals(BYTES)).toBe(true);
    expect([statuses(), sink.total]).toEqual([[206], SIZE]);
  });

  it("reads a file of no bytes, which has no range", async () => {
    serve({ bytes: new Uint8Array() });
    const sink = new Memory();
    expect((await get(sink)).kind).toBe("complete");
    expect([statuses(), sink.bytes]).toEqual([[416, 200], 0]);
  });

  it.each([
    ["an ETag", {}],
    ["a date only", { etag: null, lastModified: "Mon, 02 Nov 2026 10:00:00 GMT" }],
  ])("goes on where a connection broke off, by %s", async (_, validators) => {
    serve({ drops: [300_000, 0, 200_000], ...validators });
    const sink = new Memory();
    expect((await get(sink)).kind).toBe("complete");
    expect(sink.content.equals(BYTES)).toBe(true);
    expect(statuses()).toEqual([206, 206, 206, 206]);
    const from = starts();
    expect(from[1]).toBeGreaterThan(0);
    expect(from[2]).toBe(from[1]);
    expect(from[3]).toBeGreaterThan(from[2] ?? Number.NaN);
    expect(sink.restarts).toBe(1);
    // Each new part resets the waiting.
    expect(waits).toEqual([100, 500, 100]);
  });

  it("goes on with what an earlier one left", async () => {
    const file = serve({ stalls: [400_000, 0] });
    const sink = new Memory();
    await expect(get(sink)).rejects.toMatchObject({ code: "MODEL_FETCH_STALLED" });
    expect(sink.bytes).toBe(400_000);
    file.stalls = [];
    expect((await get(sink)).kind).toBe("complete");
    expect(sink.content.equals(BYTES)).toBe(true);
    expect(starts().at(-1)).toBe(400_000);
  });

  it("asks once more for a file that is complete but was not put away", async () => {
    serve();
    const sink = new Memory();
    await get(sink);
    expect((await get(sink)).kind).toBe("complete");
    expect(statuses()).toEqual([206, 304]);
    expect(sink.content.equals(BYTES)).toBe(true);
  });

  it.each<[string, Partial<HubFile>]>([
    ["the server ignores ranges", { ignoresRange: true }],
    ["the server gives no validator", { etag: null }],
    ["the validator is weak", { etag: 'W/"1"', lastModified: "Mon, 02 Nov 2026 10:00:00 GMT" }],
  ])("starts afresh when %s", async (_, file) => {
    serve({ drops: [300_000], ...file });
    const sink = new Memory();
    expect((await get(sink)).kind).toBe("complete");
    expect(sink.content.equals(BYTES)).toBe(true);
    expect([sink.restarts, hub.requests.length]).toEqual([2, 2]);
  });

  it.each([true, false])(
    "starts afresh when the file changed in between (the server honours If-Range: %s)",
    async (honest) => {
      const file = serve({ drops: [300_000] });
      const sink = new Memory();
      const changing = {
        ...needs(),
        sleep: async () => {
          file.bytes = OTHER;
        },
        fetch: (url: string, init: RequestInit) => {
          const headers = new Headers(init.headers);
          if (!honest) headers.delete("if-range");
          return fetch(url, { ...init, headers });
        },
      };
      const { signal } = new AbortController();
      expect((await download(`${hub.origin}${PATH}`, sink, changing, signal)).kind).toBe("complete");
      expect(sink.content.equals(OTHER)).toBe(true);
      expect(sink.etag).toBe(etagOf(OTHER));
    },
  );

  it("waits for a server that is busy, and gives up within bounds", async () => {
    serve({ fails: { status: 503, times: 2 } });
    expect((await get(new Memory())).kind).toBe("complete");
    expect(waits).toEqual([100, 500]);
    serve({ fails: { status: 503, times: 1_000 } });
    await expect(get(new Memory())).rejects.toMatchObject({
      code: "MODEL_FETCH_FAILED",
      message: expect.stringContaining("503"),
    });
    expect(hub.requests.length).toBeLessThan(10);
  });

  it("gives up a server that always breaks off, although it sends a little each time", async () => {
    serve({ drops: Array.from({ length: 1_000 }, () => 1) });
    await expect(get(new Memory())).rejects.toMatchObject({ code: "MODEL_FETCH_FAILED" });
    expect(hub.requests.length).toBeLessThanOrEqual(102);
  });

  it("gives a stalled server one more try", async () => {
    serve({ stalls: [100_000] });
    const sink = new Memory();
    expect((await get(sink)).kind).toBe("complete");
    expect(sink.content.equals(BYTES)).toBe(true);
  });

  it.each([401, 403, 404])("leaves an answer of %i to the page, which may have rights of its own", async (status) => {
    serve({ fails: { status, times: 1 } });
    expect(await get(new Memory())).toMatchObject({ kind: "refused", why: expect.stringContaining(String(status)) });
  });

  it("fails at once where trying again would not help", async () => {
    serve({ fails: { status: 500, times: 1 } });
    await expect(get(new Memory())).rejects.toMatchObject({ code: "MODEL_FETCH_FAILED" });
    expect(waits).toEqual([]);
  });

  it("refuses what a redirection leads to when that may not be read", async () => {
    hub.files.set(PATH, { bytes: BYTES, redirect: "/secret" });
    hub.files.set("/secret", { bytes: BYTES });
    const sink = new Memory();
    expect((await get(sink)).kind).toBe("refused");
    expect(sink.bytes).toBe(0);
    hub.files.set(PATH, { bytes: BYTES, redirect: "/public" });
    hub.files.set("/public", { bytes: BYTES, cacheControl: "max-age=60" });
    // How long the last address is fresh says nothing of the first.
    expect(await get(sink)).toMatchObject({ kind: "complete", freshMs: 0 });
  });

  it("ends with ABORTED when its caller stops it", async () => {
    serve({ bytesPerSecond: 500_000 });
    const stop = new AbortController();
    const sink = new Memory();
    const done = get(sink, stop.signal);
    setTimeout(() => stop.abort(), 200);
    await expect(done).rejects.toMatchObject({ code: "ABORTED" });
  });
});

describe("a stored file", () => {
  const check = (known: Validators, size = SIZE) =>
    revalidate(`${hub.origin}${PATH}`, known, size, needs(), new AbortController().signal);

  it("is still what the URL holds, or not, without a byte of it", async () => {
    const date = "Mon, 02 Nov 2026 10:00:00 GMT";
    const file = serve({ lastModified: date });
    expect(await check({ etag: etagOf(BYTES), lastModified: null })).toBe("unchanged");
    expect(await check({ etag: null, lastModified: date })).toBe("unchanged");
    file.bytes = OTHER;
    expect(await check({ etag: etagOf(BYTES), lastModified: null })).toBe("changed");
    expect(await check({ etag: null, lastModified: null })).toBe("changed");
    expect(statuses().slice(0, 2)).toEqual([304, 304]);
  });

  it("is nobody's any more when the server refuses it", async () => {
    serve({ fails: { status: 403, times: 1 } });
    expect(await check({ etag: etagOf(BYTES), lastModified: null })).toBe("refused");
  });
});
