import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  type FunctionProto,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { HoldfastError } from "../base/errors.ts";

/** The only file that knows the protobuf library. */
export type { AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto };

const EXTERNAL = 1;
/** AttributeProto.AttributeType. */
const INT = 2;

export function parseModel(bytes: Uint8Array): ModelProto & { graph: GraphProto } {
  try {
    const model = fromBinary(ModelProtoSchema, bytes);
    if (model.graph !== undefined) return Object.assign(model, { graph: model.graph });
  } catch (cause) {
    throw new HoldfastError("BAD_MODEL", "not an ONNX model: its graph cannot be read; download it again", { cause });
  }
  throw new HoldfastError("BAD_MODEL", "not an ONNX model: it holds no graph; download it again");
}

export function serialiseModel(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

/** The same model around another graph. Initialisers are constants from IR 4 on without being listed as inputs. */
export function withGraph(model: ModelProto, graph: GraphProto): ModelProto {
  const irVersion = model.irVersion < 4n ? 4n : model.irVersion;
  return create(ModelProtoSchema, { ...model, irVersion, graph, trainingInfo: [] });
}

/** What a message spreads to is taken by the library for a message, and then has no defaults. */
function untyped<Fields extends object>(fields: Fields): Omit<Fields, "$typeName"> {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => key !== "$typeName")) as Omit<Fields, "$typeName">;
}

export function createGraph(fields: Partial<Omit<GraphProto, "$typeName" | "$unknown">>): GraphProto {
  return create(GraphProtoSchema, untyped(fields));
}

export function createNode(fields: Partial<Omit<NodeProto, "$typeName" | "$unknown">>): NodeProto {
  return create(NodeProtoSchema, untyped(fields));
}

/** A Cast of one tensor to another data type. */
export function createCast(name: string, input: string, output: string, to: number): NodeProto {
  const attribute = [create(AttributeProtoSchema, { name: "to", type: INT, i: BigInt(to) })];
  return createNode({ name, opType: "Cast", input: [input], output: [output], attribute });
}

/** The shapes of tensors, one behind the other, as one int64 output. */
export function createShapes(tensors: readonly string[], output: string): NodeProto[] {
  const shapes = tensors.map((name, index) => ({ name, shape: `${output}/${index}` }));
  const attribute = [create(AttributeProtoSchema, { name: "axis", type: INT, i: 0n })];
  return [
    ...shapes.map(({ name, shape }) => createNode({ opType: "Shape", input: [name], output: [shape] })),
    createNode({ opType: "Concat", input: shapes.map(({ shape }) => shape), output: [output], attribute }),
  ];
}

/** The same node with its bodies changed. */
export function changeBodies(node: NodeProto, change: (body: GraphProto) => GraphProto): NodeProto {
  return changeAttributes(node, (attribute) => attribute, change);
}

/** The same node with other values of its attributes (null: without that attribute), and its bodies changed. */
export function changeAttributes(
  node: NodeProto,
  resolve: (attribute: AttributeProto) => AttributeProto | null,
  change: (body: GraphProto) => GraphProto,
): NodeProto {
  const attribute = node.attribute.flatMap((old) => {
    const value = resolve(old);
    if (value === null) return [];
    if (value === old && old.g === undefined && old.graphs.length === 0) return [old];
    const bodies = value.g === undefined ? {} : { g: change(value.g) };
    // A reference that is there but empty is one too: inside a body onnxruntime refuses it.
    const { refAttrName: _, ...own } = value;
    const changed = { ...own, name: old.name, ...bodies, graphs: value.graphs.map(change) };
    return [create(AttributeProtoSchema, untyped(changed))];
  });
  return createNode({ ...node, attribute });
}

/** A graph input or output with an element type and what is known of its shape; `dims` null: nothing. */
export function createValueInfo(
  name: string,
  elemType: number,
  dims: readonly (number | string | null)[] | null,
): ValueInfoProto {
  const dim = (dims ?? []).map((size) => {
    if (size === null) return {};
    if (typeof size === "string") return { value: { case: "dimParam" as const, value: size } };
    return { value: { case: "dimValue" as const, value: BigInt(size) } };
  });
  const tensor = { case: "tensorType", value: dims === null ? { elemType } : { elemType, shape: { dim } } } as const;
  return create(ValueInfoProtoSchema, { name, type: { value: tensor } });
}

/** Where an external tensor's bytes are, or null if they are inline. */
export function externalRange(tensor: TensorProto): { location: string; offset: number; length: number } | null {
  if (tensor.dataLocation !== EXTERNAL) return null;
  const entry = (key: string): string => tensor.externalData.find((pair) => pair.key === key)?.value ?? "";
  return { location: entry("location"), offset: Number(entry("offset")), length: Number(entry("length")) };
}

/** The same tensor under `name`; with a path, its `length` bytes are the whole of that external file. */
export function copyTensor(tensor: TensorProto, name: string, path: string | null, length: number): TensorProto {
  if (path === null) return create(TensorProtoSchema, { ...tensor, name });
  const pairs = { location: path, offset: "0", length: String(length) };
  const externalData = Object.entries(pairs).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value }),
  );
  const { dims, dataType } = tensor;
  return create(TensorProtoSchema, { name, dims, dataType, externalData, dataLocation: EXTERNAL });
}
