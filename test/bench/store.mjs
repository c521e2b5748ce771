import { createServer } from "node:http";
import { mlpModel } from "./models.mjs";
import { connect } from "./setting.mjs";
import { interval, median, result } from "./stats.mjs";

/** About 100 MB of weights, in [512, 512] matrices. */
const LAYERS = 100;
const BYTES_PER_SECOND = 100_000_000 / 8;
const PIECE_BYTES = 256 * 1024;
const NOTE = `seeded, ${LAYERS} MB, server at 100 Mbit/s`;

/** Load of a stored model from a second origin ÷ its first load, and the bytes that it downloads. @type {import("./measures.mjs").Measure} */
export async function storeSecondOrigin({ browser, page, origin }, amount) {
  const server = await slowServer(mlpModel(LAYERS));
  const other = await browser.newPage(`${origin.replace("127.0.0.1", "localhost")}/bench.html`);
  await connect(browser, other);
  const [first, second, bytes] = /** @type {number[][]} */ ([[], [], []]);
  for (let round = 0; round < amount; round++) {
    const url = JSON.stringify(`${server.origin}/${round}.onnx`);
    first?.push(await page.evaluateWithin(120_000, `bench.load(${url})`));
    const before = server.sent();
    second?.push(await other.evaluateWithin(120_000, `bench.load(${url})`));
    bytes?.push(server.sent() - before);
  }
  await other.close();
  await server.close();
  const ratio = (/** @type {number[][]} */ [a = [], b = []]) => median(a) / median(b);
  const times = [second ?? [], first ?? []];
  return {
    "store.secondOriginLoad.ratio": result(
      ratio(times),
      "ratio",
      median(first ?? []),
      amount,
      interval(times, ratio),
      NOTE,
    ),
    "store.secondOriginLoad.bytes": result(
      Math.max(...(bytes ?? [])),
      "bytes",
      null,
      amount,
      [Math.min(...(bytes ?? [])), Math.max(...(bytes ?? []))],
      `the most of all rounds; ${NOTE}`,
    ),
  };
}

/** One model at every path, each another file: its producer is named once more, at its end. @param {Uint8Array} model */
async function slowServer(model) {
  let sent = 0;
  const server = createServer(async (request, response) => {
    const name = Buffer.from((request.url ?? "").padEnd(32, "_").slice(0, 32));
    const etag = `"${name}"`;
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "range, if-range, if-none-match");
    response.setHeader("access-control-expose-headers", "etag, content-range");
    response.setHeader("etag", etag);
    if (request.method === "OPTIONS") return void response.writeHead(204).end();
    if (request.headers["if-none-match"] === etag) return void response.writeHead(304).end();
    const tail = Buffer.concat([Buffer.of(0x12, name.length), name]);
    response.writeHead(200, { "content-length": model.length + tail.length });
    const begin = performance.now();
    for (let at = 0; at < model.length && !response.destroyed; at += PIECE_BYTES) {
      const piece = model.subarray(at, at + PIECE_BYTES);
      response.write(piece);
      sent += piece.length;
      const due = begin + ((at + piece.length) * 1_000) / BYTES_PER_SECOND - performance.now();
      if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
    }
    sent += tail.length;
    response.end(tail);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    origin: `http://127.0.0.1:${port}`,
    sent: () => sent,
    close: () =>
      new Promise((done) => {
        server.close(done);
        server.closeAllConnections();
      }),
  };
}
