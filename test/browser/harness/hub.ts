/** A server that behaves like a model hub (ranges, validators, CORS, redirections to another origin), and misbehaves on request. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface HubFile {
  bytes: Uint8Array;
  /** Null: the server gives none. */
  etag?: string | null;
  lastModified?: string | null;
  cacheControl?: string;
  /** Which origins may read it; by default all. Null: none but its own. */
  cors?: string | null;
  /** Request headers that a preflight allows; by default those that a download may use. */
  allowHeaders?: string;
  ignoresRange?: boolean;
  bytesPerSecond?: number;
  /** Breaks off after so many body bytes of an answer; as often as there are entries. */
  drops?: number[];
  /** Sends so many body bytes of an answer, then nothing more, as often as there are entries. */
  stalls?: number[];
  /** Answers this status so often before it answers the file. */
  fails?: { status: number; times: number };
  /** The file is on the other origin, at this path. */
  redirect?: string;
  /** Asked for before an answer, with the request's headers. */
  needsHeader?: readonly [name: string, value: string];
}

export interface HubRequest {
  readonly method: string;
  readonly path: string;
  readonly origin: string | undefined;
  readonly range: string | undefined;
  readonly headers: IncomingMessage["headers"];
  status: number;
  /** Body bytes that were written. */
  sent: number;
}

export interface Hub {
  readonly origin: string;
  /** Where redirections lead. */
  readonly otherOrigin: string;
  readonly files: Map<string, HubFile>;
  /** All requests but preflights, oldest first. */
  readonly requests: HubRequest[];
  /** Body bytes of a path, all answers together. */
  sent(path: string): number;
  close(): Promise<void>;
}

const ALLOWED = "range, if-range, if-none-match, if-modified-since";
const EXPOSED = "etag, content-range, accept-ranges, content-length";
const PIECE_BYTES = 64 * 1024;
const DROP_AFTER_MS = 15;

export async function openHub(): Promise<Hub> {
  const files = new Map<string, HubFile>();
  const requests: HubRequest[] = [];
  let other = "";
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    answer(files, requests, other, request, response).catch(() => response.destroy());
  };
  const servers = [createServer(handle), createServer(handle)];
  const [own, far] = await Promise.all(servers.map(listen));
  other = `http://localhost:${far}`;
  return {
    origin: `http://127.0.0.1:${own}`,
    otherOrigin: other,
    files,
    requests,
    sent: (path) => requests.filter((one) => one.path === path).reduce((sum, { sent }) => sum + sent, 0),
    close: async () => {
      await Promise.all(
        servers.map(
          (server) =>
            new Promise<void>((done) => {
              server.close(() => done());
              server.closeAllConnections();
            }),
        ),
      );
    },
  };
}

export function etagOf(bytes: Uint8Array): string {
  return `"${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}"`;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve());
  });
  return (server.address() as AddressInfo).port;
}

async function answer(
  files: ReadonlyMap<string, HubFile>,
  requests: HubRequest[],
  other: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = new URL(request.url ?? "/", "http://hub").pathname;
  const file = files.get(path);
  const { cors = "*" } = file ?? {};
  if (cors !== null) {
    response.setHeader("access-control-allow-origin", cors);
    response.setHeader("access-control-expose-headers", EXPOSED);
  }
  if (request.method === "OPTIONS") {
    response.setHeader("access-control-allow-headers", file?.allowHeaders ?? ALLOWED);
    return void response.writeHead(204).end();
  }
  const { headers } = request;
  const entry: HubRequest = {
    method: request.method ?? "",
    path,
    origin: headers.origin,
    range: headers.range,
    headers,
    status: 0,
    sent: 0,
  };
  requests.push(entry);
  const plain = (status: number, more: Record<string, string> = {}): void => {
    entry.status = status;
    response.writeHead(status, more).end();
  };
  if (file === undefined) return plain(404);
  if (file.redirect !== undefined) return plain(302, { location: `${other}${file.redirect}` });
  if (file.fails !== undefined && file.fails.times-- > 0) return plain(file.fails.status);
  if (file.needsHeader !== undefined && headers[file.needsHeader[0]] !== file.needsHeader[1]) return plain(401);

  const { bytes, etag = etagOf(file.bytes), lastModified = null } = file;
  if (etag !== null) response.setHeader("etag", etag);
  if (lastModified !== null) response.setHeader("last-modified", lastModified);
  if (file.cacheControl !== undefined) response.setHeader("cache-control", file.cacheControl);
  const isSame =
    (etag !== null && headers["if-none-match"] === etag) ||
    (lastModified !== null && headers["if-modified-since"] === lastModified);
  if (isSame) return plain(304);

  const wanted = file.ignoresRange ? null : /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "");
  const ifRange = headers["if-range"];
  const isRange = wanted !== null && (ifRange === undefined || ifRange === etag || ifRange === lastModified);
  const start = isRange ? Number(wanted[1]) : 0;
  if (isRange && start >= bytes.length) return plain(416, { "content-range": `bytes */${bytes.length}` });
  entry.status = isRange ? 206 : 200;
  const end = isRange && wanted[2] ? Math.min(Number(wanted[2]) + 1, bytes.length) : bytes.length;
  const range = isRange ? { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` } : {};
  response.writeHead(entry.status, { "content-length": end - start, ...range });
  if (request.method === "HEAD") return void response.end();
  await send(file, bytes.subarray(start, end), entry, response);
}

async function send(file: HubFile, body: Uint8Array, entry: HubRequest, response: ServerResponse): Promise<void> {
  const drop = file.drops?.shift();
  const stall = file.stalls?.shift();
  const last = Math.min(body.length, drop ?? stall ?? body.length);
  const begin = performance.now();
  for (let at = 0; at < last && !response.destroyed; ) {
    const piece = body.subarray(at, Math.min(at + PIECE_BYTES, last));
    const flows = response.write(piece);
    at += piece.length;
    entry.sent += piece.length;
    if (!flows) await drained(response);
    const due = file.bytesPerSecond === undefined ? 0 : begin + (at * 1_000) / file.bytesPerSecond - performance.now();
    if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
  }
  if (drop !== undefined) {
    // What was written is to arrive: breaking off throws away what is still in the sockets.
    await new Promise((resolve) => setTimeout(resolve, DROP_AFTER_MS));
    response.destroy();
  }
  if (drop === undefined && stall === undefined) response.end();
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}
