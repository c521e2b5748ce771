import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type FunctionProtoSchema,
  type GraphProtoSchema,
  ModelProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from "onnx-buf";

/** Small seeded ONNX models for tests. */
export type Node = MessageInitShape<typeof NodeProtoSchema>;
export type Tensor = MessageInitShape<typeof TensorProtoSchema>;
type Value = MessageInitShape<typeof ValueInfoProtoSchema>;
export type Fn = MessageInitShape<typeof FunctionProtoSchema>;
export type Body = MessageInitShape<typeof GraphProtoSchema>;
type Attribute =
  | number
  | readonly number[]
  | string
  | { tensor: Tensor }
  | { body: Body }
  | { float: number }
  | { ref: string };

/** node("Add", "a b", "c"): names are separated by spaces, "-" is an absent one. */
export function node(opType: string, input: string, output: string, attributes: Record<string, Attribute> = {}): Node {
  const names = (text: string): string[] =>
    text
      .split(" ")
      .filter(Boolean)
      .map((name) => (name === "-" ? "" : name));
  const [domain, operator] = opType.includes(":") ? opType.split(":") : ["", opType];
  const attribute = Object.entries(attributes).map(([name, value]) => {
    if (typeof value === "number") return { name, type: 2, i: BigInt(value) };
    if (typeof value === "string") return { name, type: 3, s: new TextEncoder().encode(value) };
    if ("tensor" in value) return { name, type: 4, t: value.tensor };
    if ("body" in value) return { name, type: 5, g: value.body };
    if ("ref" in value) return { name, type: 1, refAttrName: value.ref };
    if ("float" in value) return { name, type: 1, f: value.float };
    return { name, type: 7, ints: value.map(BigInt) };
  });
  return { opType: operator ?? opType, domain: domain ?? "", input: names(input), output: names(output), attribute };
}

let seed = 1;
export function floats(name: string, dims: readonly number[], scale = 0.2): Tensor {
  const size = dims.reduce((product, dim) => product * dim, 1);
  const data = Float32Array.from({ length: size }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed / 2 ** 31 - 1) * scale;
  });
  return { name, dims: dims.map(BigInt), dataType: 1, rawData: new Uint8Array(data.buffer) };
}

export function constant(name: string, value: number): Tensor {
  return { name, dims: [], dataType: 1, rawData: new Uint8Array(Float32Array.of(value).buffer) };
}

export function longs(name: string, values: readonly number[]): Tensor {
  const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return { name, dims: [BigInt(values.length)], dataType: 7, rawData };
}

const ELEMENTS: Readonly<Record<string, number>> = { float: 1, int32: 6, int64: 7, bool: 9 };
/** value("x:float:2,3"); "?" as a dimension is unknown, no dimensions at all leave the shape out. */
export function value(text: string): Value {
  const [name = "", element = "float", dims] = text.split(":");
  const dim = (dims ?? "")
    .split(",")
    .filter(Boolean)
    .map((size) => {
      if (size === "?") return {};
      return /^\d+$/.test(size)
        ? { value: { case: "dimValue" as const, value: BigInt(size) } }
        : { value: { case: "dimParam" as const, value: size } };
    });
  const shape = dims === undefined ? {} : { shape: { dim } };
  return { name, type: { value: { case: "tensorType", value: { elemType: ELEMENTS[element] ?? 0, ...shape } } } };
}

export function body(inputs: string[], outputs: string[], nodes: Node[], initializer: Tensor[] = []): Body {
  return { name: "body", input: inputs.map(value), output: outputs.map(value), node: nodes, initializer };
}

export interface Parts {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly Node[];
  readonly weights?: readonly Tensor[];
  readonly opset?: number;
  readonly ir?: number;
  /** Functions of the domain "mine". */
  readonly functions?: readonly Fn[];
}

export function model({ inputs, outputs, nodes, weights = [], opset = 17, ir = 8, functions = [] }: Parts): Uint8Array {
  const graph = {
    name: "g",
    input: inputs.map(value),
    output: outputs.map(value),
    node: [...nodes],
    initializer: [...weights],
  };
  const opsetImport = [
    { domain: "", version: BigInt(opset) },
    { domain: "com.microsoft", version: 1n },
    ...(functions.length > 0 ? [{ domain: "mine", version: 1n }] : []),
  ];
  const fields = { irVersion: BigInt(ir), opsetImport, graph, functions: [...functions] };
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, fields));
}

/** A pre-norm or post-norm transformer with decomposed LayerNorm and GELU, as old exporters write it. */
export function encoder(layers: number, style: "pre" | "post", norm: "op" | "decomposed", width = 32): Uint8Array {
  const weights: Tensor[] = [
    constant("two", 2),
    constant("half", 0.5),
    constant("one", 1),
    constant("eps", 1e-5),
    constant("root2", Math.SQRT2),
  ];
  const nodes: Node[] = [];
  const weight = (name: string, ...dims: number[]): string => {
    weights.push(floats(name, dims));
    return name;
  };
  const layerNorm = (x: string, y: string): void => {
    const [w, b] = [weight(`${y}.w`, width), weight(`${y}.b`, width)];
    if (norm === "op") {
      nodes.push(node("LayerNormalization", `${x} ${w} ${b}`, y, { axis: -1 }));
      return;
    }
    nodes.push(
      node("ReduceMean", x, `${y}.mean`, { axes: [-1], keepdims: 1 }),
      node("Sub", `${x} ${y}.mean`, `${y}.c`),
    );
    nodes.push(
      node("Pow", `${y}.c two`, `${y}.sq`),
      node("ReduceMean", `${y}.sq`, `${y}.var`, { axes: [-1], keepdims: 1 }),
    );
    nodes.push(node("Add", `${y}.var eps`, `${y}.ve`), node("Sqrt", `${y}.ve`, `${y}.sd`));
    nodes.push(
      node("Div", `${y}.c ${y}.sd`, `${y}.n`),
      node("Mul", `${y}.n ${w}`, `${y}.s`),
      node("Add", `${y}.s ${b}`, y),
    );
  };
  const linear = (x: string, y: string, from: number, to: number): void => {
    nodes.push(
      node("MatMul", `${x} ${weight(`${y}.W`, from, to)}`, `${y}.m`),
      node("Add", `${weight(`${y}.B`, to)} ${y}.m`, y),
    );
  };
  let x = "x";
  for (let i = 0; i < layers; i++) {
    const p = `l${i}`;
    const inner = style === "pre" ? `${p}.ln1` : x;
    if (style === "pre") layerNorm(x, inner);
    for (const part of ["q", "k", "v"]) linear(inner, `${p}.${part}`, width, width);
    nodes.push(
      node("Transpose", `${p}.k`, `${p}.kt`, { perm: [0, 2, 1] }),
      node("MatMul", `${p}.q ${p}.kt`, `${p}.qk`),
    );
    nodes.push(node("Softmax", `${p}.qk`, `${p}.p`, { axis: -1 }), node("MatMul", `${p}.p ${p}.v`, `${p}.a`));
    linear(`${p}.a`, `${p}.o`, width, width);
    nodes.push(node("Add", `${p}.o ${x}`, `${p}.r1`));
    const middle = `${p}.ln2`;
    layerNorm(`${p}.r1`, middle);
    linear(middle, `${p}.up`, width, width * 4);
    nodes.push(
      node("Div", `${p}.up root2`, `${p}.g1`),
      node("Erf", `${p}.g1`, `${p}.g2`),
      node("Add", `${p}.g2 one`, `${p}.g3`),
    );
    nodes.push(node("Mul", `${p}.up ${p}.g3`, `${p}.g4`), node("Mul", `${p}.g4 half`, `${p}.g5`));
    linear(`${p}.g5`, `${p}.down`, width * 4, width);
    nodes.push(node("Add", `${p}.down ${style === "pre" ? `${p}.r1` : middle}`, `${p}.r2`));
    x = `${p}.r2`;
    if (style === "post") {
      x = `${p}.out`;
      layerNorm(`${p}.r2`, x);
    }
  }
  layerNorm(x, "y");
  return model({ inputs: [`x:float:b,s,${width}`], outputs: ["y:float"], nodes, weights });
}
