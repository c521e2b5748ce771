/** The demo's server: its files, and the kill buttons' way to a real SIGKILL, which no page can send. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { serve } from "./serve.mjs";

/**
 * @typedef {import("./browser.mjs").Browser} Browser
 * @typedef {import("./serve.mjs").Route} Route
 */

const FIRST_PORT = 4173;
const PORTS_TRIED = 20;
const BODY_BYTES_MAX = 1_000;

/**
 * Serves `roots` on 127.0.0.1. Pages find out from GET /launcher.json whether hosts can be killed, and kill one by
 * `POST /kill { hostId }` with the header `x-launcher-token`, whose value is the `launcher` parameter of the page's address.
 *
 * @param {Record<string, string>} roots
 * @param {() => Browser | undefined} browser the one whose hosts are meant, once it is up
 */
export async function serveDemo(roots, browser) {
  const token = randomBytes(16).toString("hex");
  /** @type {Record<string, Route>} */
  const routes = {
    "GET /launcher.json": (_, response) => sendJson(response, 200, { kill: true }),
    "POST /kill": async (request, response) => {
      const launched = browser();
      if (!launched) return sendJson(response, 503, { error: "the browser is not up yet" });
      if (!isOurs(request, token)) return sendJson(response, 403, { error: "only the demo's own page may kill" });
      try {
        const { hostId } = JSON.parse(await readBody(request));
        sendJson(response, 200, { pid: await launched.processes.killFrame(String(hostId)) });
      } catch (error) {
        sendJson(response, 400, { error: error instanceof Error ? error.message : String(error) });
      }
    },
  };
  const server = await serveOnFreePort(roots, routes);
  return { ...server, token };
}

/** @param {Record<string, string>} roots @param {Record<string, Route>} routes */
async function serveOnFreePort(roots, routes) {
  for (let port = FIRST_PORT; port < FIRST_PORT + PORTS_TRIED; port++) {
    try {
      return await serve({ roots, routes, port });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EADDRINUSE") throw error;
    }
  }
  return serve({ roots, routes });
}

/**
 * The page must be of this very server (no other site, no rebound host name) and know the token (no other local page).
 *
 * @param {import("node:http").IncomingMessage} request
 * @param {string} token
 */
function isOurs(request, token) {
  const { host = "", origin, "x-launcher-token": given } = request.headers;
  if (!/^127\.0\.0\.1:\d+$/.test(host) || origin !== `http://${host}` || typeof given !== "string") return false;
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** @param {import("node:http").IncomingMessage} request */
async function readBody(request) {
  let body = "";
  for await (const chunk of request) {
    body += chunk;
    if (body.length > BODY_BYTES_MAX) throw new Error("the request is too long");
  }
  return body;
}

/** @param {import("node:http").ServerResponse} response @param {number} status @param {unknown} value */
function sendJson(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}
