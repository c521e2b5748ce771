import { HoldfastError } from "../base/errors.ts";
import type { WireTensor, WireTensors } from "../base/tensor.ts";
import type { Lineage } from "../protocol/lineage.ts";

/** What a stage is fed for an input; the first one is fed by the page, which may send anything. @throws HoldfastError BAD_FEEDS. */
export function takeInput(tensors: WireTensors, name: string, lineage: Lineage | undefined): WireTensor {
  const tensor: WireTensor | null | undefined = Object.hasOwn(tensors ?? {}, name) ? tensors[name] : undefined;
  if (tensor && Array.isArray(tensor.dims) && ArrayBuffer.isView(tensor.data)) return tensor;
  if (lineage !== undefined && Object.hasOwn(lineage.feeds, name))
    throw new HoldfastError(
      "BAD_FEEDS",
      `The handle for the input ${name} lies in a later host than needs it; read() it and feed the tensor.`,
    );
  throw new HoldfastError("BAD_FEEDS", `The feeds hold no tensor named ${name}; compare them with session.inputs.`);
}
