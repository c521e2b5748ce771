import { Tensor } from "onnxruntime-common";
import { arrayOf, elementCount } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import type { ElementType, TensorData, WireTensor, WireTensors } from "../base/tensor.ts";
import type { ValueSpec } from "../shard/types.ts";

/** Arrays that onnxruntime takes beside the usual one. */
const ALSO_TAKEN: Partial<Record<ElementType, string>> = { float16: "Float16Array", uint8: "Uint8ClampedArray" };

/** What `run` takes for one input: onnxruntime's Tensor, of whichever copy of that library the page uses. */
export interface TensorLike {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
}

/**
 * Checks feeds against the model's inputs and copies them, so that the page may change its arrays afterwards. Throws
 * BAD_FEEDS with the name that is wrong and what is expected. `elsewhere`: inputs whose tensors the hosts have.
 */
export function takeFeeds(
  feeds: Readonly<Record<string, TensorLike>>,
  inputs: readonly ValueSpec[],
  elsewhere: readonly string[] = [],
): WireTensors {
  const names = inputs.map(({ name }) => name);
  const unknown = [...Object.keys(feeds), ...elsewhere].find((name) => !names.includes(name));
  if (unknown !== undefined) throw bad(`there is no input "${unknown}"; the model takes ${names.join(", ")}`);
  const taken = inputs.filter(({ name }) => !elsewhere.includes(name));
  return Object.fromEntries(taken.map((input) => [input.name, takeFeed(input, feeds[input.name])]));
}

function takeFeed({ name, type, dims }: ValueSpec, tensor: TensorLike | undefined): WireTensor {
  if (tensor === undefined) throw bad(`the input "${name}" is missing`);
  if (!isTensorLike(tensor)) throw bad(`the input "${name}" is not a tensor (type, dims, data)`);
  const { data } = tensor;
  if (tensor.type !== type) throw bad(`the input "${name}" is ${tensor.type}, the model takes ${type}`);
  if (!ArrayBuffer.isView(data) || data instanceof DataView) throw bad(`the input "${name}" has no data on the CPU`);
  const values = data as TensorData;
  const kind: string = values[Symbol.toStringTag];
  if (kind !== arrayOf(type).name && kind !== ALSO_TAKEN[type])
    throw bad(`the input "${name}" is ${type}, its data is of type ${kind}`);
  const described = `[${tensor.dims.join(", ")}]`;
  if (dims !== null && dims.length !== tensor.dims.length) {
    throw bad(
      `the input "${name}" has the dims ${described}, the model takes rank ${dims.length} ([${dims.join(", ")}])`,
    );
  }
  const wrong = (dims ?? []).findIndex((dim, axis) => typeof dim === "number" && dim !== tensor.dims[axis]);
  if (wrong >= 0) throw bad(`the input "${name}" has the dims ${described}, the model takes [${dims?.join(", ")}]`);
  if (elementCount(tensor.dims) !== values.length)
    throw bad(`the input "${name}" has ${values.length} elements for the dims ${described}`);
  return { type: tensor.type as ElementType, dims: [...tensor.dims], data: values.slice() };
}

/** A page's code need not be typed. */
function isTensorLike(value: unknown): value is TensorLike {
  return typeof value === "object" && value !== null && Array.isArray((value as Partial<TensorLike>).dims);
}

/** Outputs as onnxruntime's tensors; the arrays are the page's own. */
export function giveOutputs(tensors: WireTensors): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { type, dims, data }]) => [
      name,
      new Tensor(type as "float32", data as Float32Array, dims),
    ]),
  );
}

function bad(what: string): HoldfastError {
  return new HoldfastError("BAD_FEEDS", `The feeds do not fit: ${what}. Compare them with session.inputs.`);
}
