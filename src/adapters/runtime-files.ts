import webgpuGlue from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import webgpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import wasmGlue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

const FILES = { wasm: { wasm: wasmWasm, glue: wasmGlue }, webgpu: { wasm: webgpuWasm, glue: webgpuGlue } } as const;

/** onnxruntime's binary and glue for one frame; a sandboxed frame cannot load them itself. */
export async function runtimeFiles(runtime: "wasm" | "webgpu"): Promise<{ wasm: ArrayBuffer; glue: string }> {
  const [wasm, glue] = await Promise.all([
    fetch(FILES[runtime].wasm).then((response) => response.arrayBuffer()),
    fetch(FILES[runtime].glue).then((response) => response.text()),
  ]);
  return { wasm, glue };
}
