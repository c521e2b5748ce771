import type { InferenceSession, Tensor } from "onnxruntime-common";
import { HoldfastError } from "../base/errors.ts";
import type { ElementType, TensorData, WireTensor, WireTensors } from "../base/tensor.ts";
import type { FrameBoot } from "../protocol/host.ts";
import type { Provider } from "../protocol/options.ts";

type Ort = typeof import("onnxruntime-common");

export interface ShardFiles {
  readonly graph: Uint8Array;
  readonly weights: readonly { readonly path: string; readonly data: Uint8Array }[];
}

/** onnxruntime-web in one frame. One instance makes one session and is thrown away with its frame. */
export class OrtRuntime {
  private session: InferenceSession | null = null;
  private constructor(private readonly ort: Ort) {}

  static async boot(boot: FrameBoot): Promise<OrtRuntime> {
    const ort: Ort = boot.runtime === "webgpu" ? await import("onnxruntime-web/webgpu") : await import("onnxruntime-web/wasm");
    ort.env.wasm.wasmBinary = boot.wasm;
    // The glue is imported from a blob: an opaque origin may not import the extension's files into a thread.
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([boot.glue], { type: "text/javascript" })) };
    ort.env.wasm.numThreads = boot.threads;
    ort.env.logLevel = "error";
    return new OrtRuntime(ort);
  }

  async create(files: ShardFiles, provider: Provider): Promise<void> {
    this.session = await this.ort.InferenceSession.create(files.graph, {
      executionProviders: [provider],
      externalData: files.weights.map(({ path, data }) => ({ path, data })),
    });
  }

  async run(inputs: WireTensors): Promise<WireTensors> {
    if (this.session === null) throw new HoldfastError("INTERNAL", "the shard was run before it was made");
    const feeds: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(inputs)) {
      feeds[name] = new this.ort.Tensor(tensor.type as "float32", tensor.data as Float32Array, tensor.dims);
    }
    const outputs = await this.session.run(feeds);
    const wire: Record<string, WireTensor> = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      wire[name] = { type: tensor.type as ElementType, dims: tensor.dims, data: tensor.data as TensorData };
    }
    return wire;
  }

  /** Calls back when the GPU device of this runtime is lost. */
  async watchDevice(onLost: (reason: string) => void): Promise<void> {
    const device = await (this.ort.env.webgpu as { device?: Promise<GPUDevice> | GPUDevice }).device;
    const info = await device?.lost;
    if (info !== undefined) onLost(`GPU device lost: ${info.reason} ${info.message}`);
  }
}
