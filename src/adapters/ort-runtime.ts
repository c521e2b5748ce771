import type { InferenceSession, Tensor } from "onnxruntime-common";
import { HoldfastError } from "../base/errors.ts";
import { discard } from "../base/post.ts";
import type { ElementType, TensorData, WireTensor, WireTensors } from "../base/tensor.ts";
import type { FrameBoot, MeasuredSpeed } from "../protocol/host.ts";
import type { Provider } from "../protocol/options.ts";
import { GpuData, gpuTensor } from "./gpu-tensor.ts";
import { measureSpeed } from "./speed-probe.ts";

type Ort = typeof import("onnxruntime-common");

export interface ShardFiles {
  readonly graph: Uint8Array;
  readonly weights: readonly { readonly path: string; readonly data: Uint8Array }[];
}

/** y = Identity(x), one float: the smallest model there is (opset 17), as protobuf bytes. */
const IDENTITY_MODEL = Uint8Array.of(
  8,
  8,
  58,
  55,
  10,
  16,
  10,
  1,
  120,
  18,
  1,
  121,
  34,
  8,
  73,
  100,
  101,
  110,
  116,
  105,
  116,
  121,
  18,
  1,
  103,
  90,
  15,
  10,
  1,
  120,
  18,
  10,
  10,
  8,
  8,
  1,
  18,
  4,
  10,
  2,
  8,
  1,
  98,
  15,
  10,
  1,
  121,
  18,
  10,
  10,
  8,
  8,
  1,
  18,
  4,
  10,
  2,
  8,
  1,
  66,
  4,
  10,
  0,
  16,
  17,
);

/** onnxruntime-web in one frame. One instance makes one session and is thrown away with its frame. */
export class OrtRuntime {
  private session: InferenceSession | null = null;
  private device: GPUDevice | null = null;
  private constructor(
    private readonly ort: Ort,
    private readonly binary: ArrayBuffer,
  ) {}

  static async boot(boot: FrameBoot): Promise<OrtRuntime> {
    const ort: Ort =
      boot.runtime === "webgpu" ? await import("onnxruntime-web/webgpu") : await import("onnxruntime-web/wasm");
    ort.env.wasm.wasmBinary = boot.wasm;
    // The glue is imported from a blob: an opaque origin may not import the extension's files into a thread.
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([boot.glue], { type: "text/javascript" })) };
    ort.env.wasm.numThreads = boot.threads;
    ort.env.logLevel = "error";
    const runtime = new OrtRuntime(ort, boot.wasm);
    // Compiles the wasm now, while the model may still be on its way.
    if (boot.runtime === "wasm") {
      const warmUp = await ort.InferenceSession.create(IDENTITY_MODEL, { executionProviders: ["wasm"] });
      await warmUp.release();
      runtime.freeBinary();
    }
    return runtime;
  }

  /** Once it is compiled nobody reads it again, and onnxruntime would hold it for good. */
  private freeBinary(): void {
    if (this.binary.byteLength > 0) discard(this.binary);
  }

  /** Before the shard is there. Null: it could not be measured. */
  measure(provider: Provider): Promise<MeasuredSpeed | null> {
    return measureSpeed(this.ort, provider, () => performance.now());
  }

  /** `residents`: outputs that stay on the GPU where the provider computes there; whoever holds them frees them. */
  async create(files: ShardFiles, provider: Provider, residents: readonly string[] = []): Promise<void> {
    const stays = provider === "webgpu" && residents.length > 0;
    this.session = await this.ort.InferenceSession.create(files.graph, {
      executionProviders: [provider],
      externalData: [...files.weights],
      ...(stays && {
        preferredOutputLocation: Object.fromEntries(residents.map((name) => [name, "gpu-buffer" as const])),
      }),
    });
    if (provider === "webgpu") this.device = await this.ownDevice();
    this.freeBinary();
  }

  private async ownDevice(): Promise<GPUDevice | null> {
    return (await (this.ort.env.webgpu as { device?: Promise<GPUDevice> | GPUDevice }).device) ?? null;
  }

  async run(inputs: WireTensors): Promise<WireTensors> {
    if (this.session === null) throw new HoldfastError("INTERNAL", "the shard was run before it was made");
    const feeds: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(inputs)) {
      if (tensor.device instanceof GpuData) feeds[name] = tensor.device.tensor;
      else feeds[name] = new this.ort.Tensor(tensor.type as "float32", tensor.data as Float32Array, tensor.dims);
    }
    const outputs = await this.session.run(feeds);
    const wire: Record<string, WireTensor> = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      if (tensor.location === "gpu-buffer" && this.device !== null) wire[name] = gpuTensor(tensor, this.device);
      else wire[name] = { type: tensor.type as ElementType, dims: tensor.dims, data: tensor.data as TensorData };
    }
    return wire;
  }

  /** Calls back when the GPU device of this runtime is lost. */
  async watchDevice(onLost: (reason: string) => void): Promise<void> {
    const info = await (await this.ownDevice())?.lost;
    if (info !== undefined) onLost(`GPU device lost: ${info.reason} ${info.message}`);
  }
}
