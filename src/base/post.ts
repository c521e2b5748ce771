import type { WireTensor, WireTensors } from "./tensor.ts";

/** From this size on, a copy that is transferred is cheaper than a structured clone, whose serializer copies byte by byte. */
const TRANSFER_MIN_BYTES = 16 * 1024;

/** Tensors to post while the sender keeps its own: large ones are copied once and transferred, small ones cloned. */
export function forPosting(tensors: WireTensors): { readonly tensors: WireTensors; readonly transfer: ArrayBuffer[] } {
  const transfer: ArrayBuffer[] = [];
  const posted: Record<string, WireTensor> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor.data.byteLength < TRANSFER_MIN_BYTES) {
      posted[name] = tensor;
      continue;
    }
    const data = tensor.data.slice();
    transfer.push(data.buffer);
    posted[name] = { ...tensor, data };
  }
  return { tensors: posted, transfer };
}

/**
 * Frees a buffer at once. The memory of one that came in a message has a second owner in the browser, which `transfer(0)` does not
 * reach and which waits for a garbage collection; a message that nobody will read takes it away from both.
 */
export function discard(buffer: ArrayBuffer): void {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(null, [buffer]);
  port1.close();
  port2.close();
}
