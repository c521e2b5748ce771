/** A static server for the demo and for tests, on 127.0.0.1 only. */
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { pipeline } from "node:stream";

/**
 * @typedef {import("node:http").IncomingMessage} Request
 * @typedef {import("node:http").ServerResponse} Response
 * @typedef {(request: Request, response: Response, url: URL) => void | Promise<void>} Route
 * @typedef {object} ServeOptions
 * @property {Record<string, string>} roots folders by the path prefix they are served under, longest prefix first: `{ "/": "dist/demo" }`
 * @property {number} [port] 0 or none: any free one
 * @property {boolean} [cors] any origin may read the answers
 * @property {boolean} [isolated] pages get COOP and COEP, and with them SharedArrayBuffer
 * @property {Record<string, Route>} [routes] by `"POST /kill"`; asked before the files
 * @property {(path: string) => void} [onRequest] told every request's path
 * @typedef {{ origin: string, port: number, close: () => Promise<void> }} Server
 */

/** @type {Record<string, string>} */
const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".jpg": "image/jpeg",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

/** @param {ServeOptions} options @returns {Promise<Server>} */
export async function serve(options) {
  const server = createServer((request, response) => {
    answer(options, request, response).catch((error) => fail(response, 500, String(error)));
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", () => resolve(undefined));
  });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { origin: `http://127.0.0.1:${port}`, port, close: () => closeServer(server) };
}

/** @param {import("node:http").Server} server @returns {Promise<void>} */
function closeServer(server) {
  return new Promise((done) => {
    server.close(() => done());
    server.closeAllConnections();
  });
}

/** @param {ServeOptions} options @param {Request} request @param {Response} response */
async function answer(options, request, response) {
  const url = new URL(request.url ?? "/", "http://localhost");
  options.onRequest?.(url.pathname);
  // Every build replaces the files under the same names.
  response.setHeader("cache-control", "no-store");
  if (options.cors) {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-expose-headers", "content-length, content-range, accept-ranges");
    response.setHeader("access-control-allow-headers", "range");
  }
  if (options.isolated) {
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    response.setHeader("cross-origin-resource-policy", "cross-origin");
  }
  const route = options.routes?.[`${request.method} ${url.pathname}`];
  if (route) return route(request, response, url);
  if (request.method === "OPTIONS") return void response.writeHead(204).end();
  if (request.method !== "GET" && request.method !== "HEAD") return fail(response, 405, "only GET and HEAD");
  const file = findFile(options.roots, url.pathname);
  if (!file) return fail(response, 404, `${url.pathname} is not here`);
  sendFile(file, request, response);
}

/** @param {Record<string, string>} roots @param {string} pathname @returns {{ path: string, size: number } | undefined} */
function findFile(roots, pathname) {
  let decoded;
  try {
    decoded = decodeURIComponent(pathname);
  } catch {
    return undefined;
  }
  const prefixes = Object.keys(roots).sort((a, b) => b.length - a.length);
  for (const prefix of prefixes) {
    const root = normalize(roots[prefix] ?? "");
    if (!decoded.startsWith(prefix)) continue;
    const path = join(root, decoded.slice(prefix.length));
    if (path !== root && !path.startsWith(root.endsWith(sep) ? root : root + sep)) continue;
    const found = statFile(path) ?? statFile(join(path, "index.html"));
    if (found) return found;
  }
  return undefined;
}

/** @param {string} path */
function statFile(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() ? { path, size: stat.size } : undefined;
}

/** @param {{ path: string, size: number }} file @param {Request} request @param {Response} response */
function sendFile({ path, size }, request, response) {
  response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream");
  response.setHeader("accept-ranges", "bytes");
  const range = parseRange(request.headers.range, size);
  if (range === "unsatisfiable") {
    response.setHeader("content-range", `bytes */${size}`);
    return fail(response, 416, "the range is outside of the file");
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  if (range) response.setHeader("content-range", `bytes ${start}-${end}/${size}`);
  response.writeHead(range ? 206 : 200, { "content-length": end - start + 1 });
  if (request.method === "HEAD" || size === 0) return void response.end();
  // A client that stops reading half-way is no error of ours.
  pipeline(createReadStream(path, { start, end }), response, () => {});
}

/**
 * One range, as RFC 9110 section 14.2 has it; several at once are answered with the whole file, which the RFC allows.
 *
 * @param {string | undefined} header @param {number} size
 * @returns {{ start: number, end: number } | "unsatisfiable" | undefined}
 */
function parseRange(header, size) {
  const match = header?.match(/^bytes=(\d*)-(\d*)$/);
  if (!match || (!match[1] && !match[2])) return undefined;
  const start = match[1] ? Number(match[1]) : Math.max(0, size - Number(match[2]));
  const end = match[1] && match[2] ? Math.min(Number(match[2]), size - 1) : size - 1;
  return start > end ? "unsatisfiable" : { start, end };
}

/** @param {Response} response @param {number} status @param {string} text */
function fail(response, status, text) {
  if (response.headersSent) response.destroy();
  else response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(text);
}
