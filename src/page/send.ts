import { HoldfastError, messageOf } from "../base/errors.ts";
import { CHUNK_BYTES, CHUNKS_IN_FLIGHT_MAX } from "../base/limits.ts";
import { RpcPeer, servePort } from "../base/rpc.ts";
import type { IngestCalls } from "../protocol/ingest.ts";
import { download, type PartialSink } from "../store/download.ts";
import type { Validators } from "../store/http.ts";
import type { ModelFile, OpenModel } from "./source.ts";

type Keeper = RpcPeer<IngestCalls, Record<never, never>, Record<never, never>, Record<never, never>>;

/**
 * Gives a model's files to the keeper that stores them. What anybody may read the keeper reads itself, once for all
 * sites; everything else the page reads with its own rights and sends: a site can never use the extension to read what
 * it could not read.
 */
export async function sendModel(model: OpenModel, port: MessagePort, signal: AbortSignal): Promise<void> {
  const keeper: Keeper = new RpcPeer((message, transfer = []) => port.postMessage(message, transfer), {}, {});
  servePort(port, keeper);
  const stop = (): void => {
    // First the word to the keeper: after `close` nothing is sent any more.
    void keeper.call("cancel", null).catch(() => undefined);
    keeper.close(aborted(signal));
  };
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (const file of model.files) await sendFile(file, keeper, signal);
    if (model.sibling !== null)
      for (const path of await keeper.call("missing", null)) await sendFile(await model.sibling(path), keeper, signal);
    await keeper.call("finish", null);
  } catch (error) {
    void keeper.call("cancel", null).catch(() => undefined);
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function sendFile({ path, content, digest }: ModelFile, keeper: Keeper, signal: AbortSignal): Promise<void> {
  const pushed = new PushedFile(keeper, path, digest);
  switch (content.kind) {
    case "bytes":
      await pushed.begin(content.bytes.length);
      for (let at = 0; at < content.bytes.length; at += CHUNK_BYTES)
        await pushed.append(content.bytes.slice(at, at + CHUNK_BYTES));
      break;
    case "blob":
      await pushed.begin(content.blob.size);
      for (let at = 0; at < content.blob.size; at += CHUNK_BYTES)
        await pushed.append(await readPiece(content.blob, at, path));
      break;
    case "stream":
      await pushed.begin(null);
      await sendStream(content.stream, pushed, signal);
      break;
    case "url": {
      const { url, headers } = content;
      if (headers === null) {
        const { stored } = await keeper.call("fetch", { path, url: url.href, digest });
        if (stored) return;
      }
      await fetchAsPage(url, headers, pushed, signal);
    }
  }
  await pushed.end();
}

/** With the page's own rights: its cookies where it is the same origin, the headers that it was given. */
async function fetchAsPage(
  url: URL,
  headers: Readonly<Record<string, string>> | null,
  sink: PushedFile,
  signal: AbortSignal,
): Promise<void> {
  const fetched = await download(
    url.href,
    sink,
    {
      fetch: (input, { headers: own, signal: stop = null, method = "GET" }) => {
        const { range, ...others } = own as Record<string, string>;
        // The whole file may be in the browser's cache, or be kept there; the rest of one is none of its business.
        const part = range === undefined || range === "bytes=0-" ? {} : { range };
        const cache = "range" in part ? "no-store" : "default";
        return fetch(input, { method, cache, headers: { ...headers, ...others, ...part }, signal: stop });
      },
      mayRead: () => true,
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    },
    signal,
  );
  if (fetched.kind === "complete") return;
  throw new HoldfastError(
    "MODEL_FETCH_FAILED",
    `${url.href} could not be read (${fetched.why}). Check the URL, the network and the server's CORS headers.`,
  );
}

async function sendStream(stream: ReadableStream<Uint8Array>, pushed: PushedFile, signal: AbortSignal): Promise<void> {
  if (stream.locked)
    throw new HoldfastError("BAD_OPTIONS", "The model's stream was read already; open the session with a fresh one.");
  const reader = stream.getReader();
  const stop = (): void => void reader.cancel(signal.reason).catch(() => undefined);
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const { value } = part;
      if (!(value instanceof Uint8Array))
        throw new HoldfastError("BAD_OPTIONS", "The model's stream must yield bytes.");
      // The page may go on using what it yielded.
      for (let at = 0; at < value.length; at += CHUNK_BYTES) await pushed.append(value.slice(at, at + CHUNK_BYTES));
    }
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw new HoldfastError("MODEL_FETCH_FAILED", `The model's stream broke off (${messageOf(error)}).`, {
      cause: error,
    });
  } finally {
    signal.removeEventListener("abort", stop);
  }
  if (signal.aborted) throw aborted(signal);
}

async function readPiece(blob: Blob, at: number, path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await blob.slice(at, at + CHUNK_BYTES).arrayBuffer());
  } catch (error) {
    throw new HoldfastError(
      "MODEL_FETCH_FAILED",
      `The file ${blob instanceof File ? blob.name : path} could not be read (${messageOf(error)}). Pick it again.`,
      { cause: error },
    );
  }
}

function aborted(signal: AbortSignal): HoldfastError {
  return new HoldfastError("ABORTED", "The session was aborted while it opened.", { cause: signal.reason });
}

/** One file on its way to the keeper, a few pieces at once. */
class PushedFile implements PartialSink {
  bytes = 0;
  total: number | null = null;
  etag: string | null = null;
  lastModified: string | null = null;
  private begun = false;
  private failed: unknown = null;
  private readonly inFlight = new Set<Promise<void>>();

  constructor(
    private readonly keeper: Keeper,
    private readonly path: string,
    private readonly digest: string | null,
  ) {}

  async begin(size: number | null): Promise<void> {
    this.begun = true;
    await this.keeper.call("begin", { path: this.path, size, digest: this.digest });
  }

  async restart({ etag, lastModified }: Validators, total: number | null): Promise<void> {
    await this.keep();
    this.bytes = 0;
    Object.assign(this, { etag, lastModified, total });
    if (!this.begun) await this.begin(total);
    else await this.keeper.call("restart", { path: this.path, size: total });
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.inFlight.size >= CHUNKS_IN_FLIGHT_MAX) await Promise.race(this.inFlight);
    if (this.failed !== null) throw this.failed;
    this.bytes += bytes.length;
    const sent: Promise<void> = this.keeper
      .call("chunk", { path: this.path, bytes }, [bytes.buffer])
      .then(
        () => undefined,
        (error) => {
          this.failed ??= error;
        },
      )
      .finally(() => this.inFlight.delete(sent));
    this.inFlight.add(sent);
  }

  /** Resolves when the keeper has all that was sent. */
  async keep(): Promise<void> {
    await Promise.all(this.inFlight);
    if (this.failed !== null) throw this.failed;
  }

  async end(): Promise<void> {
    await this.keep();
    await this.keeper.call("end", { path: this.path });
  }
}
