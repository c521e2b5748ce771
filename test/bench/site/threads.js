// In a cross-origin isolated page of its own: plain onnxruntime-web with two threads.
import * as ort from "/ort/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 2;
ort.env.wasm.wasmPaths = "/ort/";

let session;
window.threads = {
  async open() {
    if (!crossOriginIsolated) throw new Error("no SharedArrayBuffer here");
    session = await ort.InferenceSession.create("/models/mlp", { executionProviders: ["wasm"] });
  },
  /** Runs a second, one at a time: a plain session takes no second one before. */
  async throughput(runs) {
    const x = new ort.Tensor(
      "float32",
      Float32Array.from({ length: 64 * 512 }, (_, index) => (index % 13) / 13),
      [64, 512],
    );
    const begin = performance.now();
    for (let run = 0; run < runs; run++) await session.run({ x });
    return (runs * 1000) / (performance.now() - begin);
  },
};
