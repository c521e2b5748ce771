import { HoldfastError } from "../base/errors.ts";
import { declaredDims } from "./dims.ts";
import { elementTypeOf } from "./element-types.ts";
import type { ValueInfoProto } from "./model.ts";
import type { ValueSpec } from "./types.ts";
import { declaredType } from "./types-of.ts";

/** What a graph input or output takes or gives. @throws HoldfastError UNSUPPORTED_OP if it is no tensor that can cross a port. */
export function valueSpec(value: ValueInfoProto): ValueSpec {
  const type = elementTypeOf(declaredType(value));
  if (type !== null) return { name: value.name, type, dims: declaredDims(value) };
  const what = value.type?.value.case === "tensorType" ? `a tensor of data type ${declaredType(value)}` : "no tensor";
  const message = `${value.name} is ${what}: only models whose inputs and outputs are tensors of plain types can be run`;
  throw new HoldfastError("UNSUPPORTED_OP", message);
}
