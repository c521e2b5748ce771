import { HoldfastError, messageOf } from "../base/errors.ts";
import { CHUNK_BYTES, CHUNKS_IN_FLIGHT_MAX, DOWNLOAD_STALL_MS } from "../base/limits.ts";
import { RpcPeer, servePort } from "../base/rpc.ts";
import type { IngestCalls } from "../protocol/ingest.ts";

export type Bytes = Uint8Array | ArrayBuffer;
/** A model: where it is, its bytes, or graph and external data apart (keys: the paths the graph names). */
export type ModelSource =
  | string
  | URL
  | Bytes
  | { readonly graph: string | URL | Bytes; readonly externalData: Readonly<Record<string, string | URL | Bytes>> };

interface ModelFile {
  readonly path: string;
  readonly source: string | URL | Bytes;
}

export function filesOf(model: ModelSource): ModelFile[] {
  if (typeof model === "string" || model instanceof URL || isBytes(model)) return [{ path: "", source: model }];
  if (typeof model !== "object" || model === null || !("graph" in model)) {
    throw new HoldfastError(
      "BAD_OPTIONS",
      "A model is a URL, its bytes, or { graph, externalData }; give one of them.",
    );
  }
  const external = Object.entries(model.externalData ?? {}).map(([path, source]) => ({ path, source }));
  return [{ path: "", source: model.graph }, ...external];
}

/** What the popup calls the model. */
export function nameOf(model: ModelSource): string {
  const [main] = filesOf(model);
  if (main === undefined || isBytes(main.source)) return "model given as bytes";
  return new URL(main.source, location.href).pathname.split("/").slice(-3).join("/");
}

/**
 * Sends a model's files to the keeper that stores them. The page fetches them itself, with its own rights: a site can
 * never use the extension to read what it could not read.
 */
export async function sendModel(model: ModelSource, port: MessagePort, signal: AbortSignal): Promise<void> {
  const keeper = new RpcPeer<IngestCalls, Record<never, never>, Record<never, never>, Record<never, never>>(
    (message, transfer = []) => port.postMessage(message, transfer),
    {},
    {},
  );
  servePort(port, keeper);
  const onAbort = (): void =>
    keeper.close(new HoldfastError("ABORTED", "The session was aborted while it opened.", { cause: signal.reason }));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for (const file of filesOf(model)) await sendFile(file, keeper, signal);
    await keeper.call("finish", null);
  } catch (error) {
    void keeper.call("cancel", null).catch(() => undefined);
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

type Keeper = RpcPeer<IngestCalls, Record<never, never>, Record<never, never>, Record<never, never>>;

async function sendFile({ path, source }: ModelFile, keeper: Keeper, signal: AbortSignal): Promise<void> {
  const inFlight = new Set<Promise<unknown>>();
  const send = async (bytes: Uint8Array): Promise<void> => {
    if (inFlight.size >= CHUNKS_IN_FLIGHT_MAX) await Promise.race(inFlight);
    const sent = keeper.call("chunk", { path, bytes }, [bytes.buffer]).finally(() => inFlight.delete(sent));
    inFlight.add(sent);
  };
  if (isBytes(source)) {
    const bytes = source instanceof Uint8Array ? source : new Uint8Array(source);
    await keeper.call("begin", { path, size: bytes.length });
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) await send(bytes.slice(at, at + CHUNK_BYTES));
  } else await download(new URL(source, location.href), path, keeper, send, signal);
  await Promise.all(inFlight);
  await keeper.call("end", { path });
}

async function download(
  url: URL,
  path: string,
  keeper: Keeper,
  send: (bytes: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const stalled = new AbortController();
  const stop = AbortSignal.any([signal, stalled.signal]);
  let timer = setTimeout(() => stalled.abort(), DOWNLOAD_STALL_MS);
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(), DOWNLOAD_STALL_MS);
  };
  try {
    const response = await fetch(url, { signal: stop });
    if (!response.ok || response.body === null) {
      throw new HoldfastError(
        "MODEL_FETCH_FAILED",
        `${url.href} answered ${response.status} ${response.statusText}. Check the model's URL.`,
      );
    }
    const length = response.headers.get("content-encoding") === null ? response.headers.get("content-length") : null;
    await keeper.call("begin", { path, size: length === null ? null : Number(length) });
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      alive();
      await send(part.value);
      alive();
    }
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    if (signal.aborted)
      throw new HoldfastError("ABORTED", "The session was aborted while it opened.", { cause: signal.reason });
    if (stalled.signal.aborted) {
      throw new HoldfastError(
        "MODEL_FETCH_STALLED",
        `${url.href} sent nothing for ${DOWNLOAD_STALL_MS / 1000} seconds. Check the server or the network and try again.`,
      );
    }
    throw new HoldfastError(
      "MODEL_FETCH_FAILED",
      `${url.href} could not be read (${messageOf(error)}). Check the URL, the network and the server's CORS headers.`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}

function isBytes(value: unknown): value is Bytes {
  return value instanceof Uint8Array || value instanceof ArrayBuffer;
}
