import type { Tensor } from "onnxruntime-common";
import { arrayOf } from "../base/bytes.ts";
import type { ByteRange, DeviceData, ElementType, WireTensor } from "../base/tensor.ts";

/** Copies between buffers begin and end at multiples of so many bytes. */
const ALIGNMENT = 4;

/** A tensor of onnxruntime in a GPU buffer, as its host holds it. */
export function gpuTensor(tensor: Tensor, device: GPUDevice): WireTensor {
  const type = tensor.type as ElementType;
  return { type, dims: tensor.dims, data: new (arrayOf(type))(0), device: new GpuData(tensor, device) };
}

/** What lies in a GPU buffer; onnxruntime feeds on it as it is. */
export class GpuData implements DeviceData {
  readonly bytes: number;

  constructor(
    readonly tensor: Tensor,
    private readonly device: GPUDevice,
  ) {
    const size = arrayOf(tensor.type as ElementType).BYTES_PER_ELEMENT;
    this.bytes = tensor.size * size;
  }

  /** Only these bytes are copied to where the CPU can read them. The copy is on its way before this returns. */
  async read(ranges: readonly ByteRange[] = [{ from: 0, length: this.bytes }]): Promise<ArrayBuffer> {
    const source = this.tensor.gpuBuffer as unknown as GPUBuffer;
    const parts = ranges
      .filter(({ length }) => length > 0)
      .map(({ from, length }) => {
        const begin = from - (from % ALIGNMENT);
        return { begin, skip: from - begin, length, copied: aligned(from + length - begin) };
      });
    const size = parts.reduce((sum, { copied }) => sum + copied, 0);
    if (size === 0) return new ArrayBuffer(0);
    const staging = this.device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const commands = this.device.createCommandEncoder();
    let at = 0;
    for (const { begin, copied } of parts) {
      commands.copyBufferToBuffer(source, begin, staging, at, copied);
      at += copied;
    }
    this.device.queue.submit([commands.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const mapped = new Uint8Array(staging.getMappedRange());
    const read = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let [taken, written] = [0, 0];
    for (const { skip, length, copied } of parts) {
      read.set(mapped.subarray(taken + skip, taken + skip + length), written);
      taken += copied;
      written += length;
    }
    staging.destroy();
    return read.buffer;
  }

  free(): void {
    this.tensor.dispose();
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
