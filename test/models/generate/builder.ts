import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GraphProtoSchema, NodeProtoSchema, TensorProtoSchema, ValueInfoProtoSchema } from "onnx-buf";
import {
  BOOL,
  FLOAT,
  FLOAT16,
  type FloatType,
  floatWeight,
  INT64,
  int64Weight,
  keyOf,
  matrixWeight,
  noise,
  type Source,
  sizeOf,
  toHalf,
  type Weight,
} from "./weights.ts";

export type NodeInit = MessageInitShape<typeof NodeProtoSchema> & { input: string[]; output: string[] };
type TensorInit = MessageInitShape<typeof TensorProtoSchema>;
export type ValueInit = MessageInitShape<typeof ValueInfoProtoSchema>;
type GraphInit = MessageInitShape<typeof GraphProtoSchema>;
type AttributeValue = number | readonly number[] | string | Builder | { readonly float: number };
type Attributes = Readonly<Record<string, AttributeValue>>;
export type Dim = number | string;

/** An operand: a tensor's name ("": absent), or a constant: int64 scalar, int64 vector, scalar of the graph's float type, of fp32. */
export type Operand = string | number | readonly number[] | { readonly f: number } | { readonly f32: number };

/** What all bodies of one model share. */
interface Shared {
  readonly weights: Map<string, Weight>;
  readonly names: Map<string, number>;
}

export interface Settings {
  readonly opset: number;
  readonly float: FloatType;
  /** How the weights of linear layers are stored and multiplied. */
  readonly linear: "float" | "qdq" | "dynamic" | "int4";
  readonly seed: number;
  /** Torch writes a Constant node for each use; other builders share initialisers named after their value. */
  readonly constants: "nodes" | "shared";
}

const MICROSOFT = new Set(
  "MatMulNBits GroupQueryAttention SkipSimplifiedLayerNormalization RotaryEmbedding".split(" "),
);
const TYPES = { float: FLOAT, int64: INT64, bool: BOOL, float16: FLOAT16 } as const;
export type TypeName = keyof typeof TYPES;

/**
 * Collects a graph node by node, named as the exporters name them: a node after its scope and operator, its output after the
 * node ("/model/layers.0/mlp/Mul_output_0").
 */
export class Builder {
  readonly nodes: NodeInit[] = [];
  readonly inputs: ValueInit[] = [];
  readonly outputs: ValueInit[] = [];
  readonly #shared: Shared;
  readonly #producers = new Map<string, NodeInit>();
  readonly #made = new Map<string, string>();

  constructor(
    readonly settings: Settings,
    shared?: Shared,
  ) {
    this.#shared = shared ?? { weights: new Map(), names: new Map() };
  }

  get weights(): readonly Weight[] {
    return [...this.#shared.weights.values()];
  }

  /** A body of an If: it captures any name of the outer graph, and its weights are the outer graph's, as merging exporters do. */
  branch(): Builder {
    return new Builder(this.settings, this.#shared);
  }

  /**
   * The node `path`, whose last segment is the operator, or "…/name:Operator"; a path that is taken gets a number. Returns the
   * name of its first output.
   */
  op(path: string, inputs: readonly Operand[], attributes: Attributes = {}): string {
    return this.ops(path, 1, inputs, attributes)[0] as string;
  }

  /** The same for a node of several outputs. */
  ops(path: string, count: number, inputs: readonly Operand[], attributes: Attributes = {}): string[] {
    const colon = path.lastIndexOf(":");
    const place = colon < 0 ? path : path.slice(0, colon);
    const slash = place.lastIndexOf("/");
    const opType = colon < 0 ? place.slice(slash + 1) : path.slice(colon + 1);
    const scope = place.slice(0, slash);
    const input = inputs.map((operand) => (typeof operand === "string" ? operand : this.constant(scope, operand)));
    const name = this.#unique(place);
    const output = Array.from({ length: count }, (_, index) => `${name}_output_${index}`);
    const domain = MICROSOFT.has(opType) ? "com.microsoft" : "";
    this.#add({ opType, domain, name, input, output, attribute: Object.entries(attributes).map(attributeOf) });
    return output;
  }

  constant(scope: string, value: Exclude<Operand, string>): string {
    const { dataType, dims, data } = this.#constantOf(value);
    if (this.settings.constants === "shared") {
      const name = `/model/constants/${dataType === INT64 ? "INT64" : "FLOAT"}/${JSON.stringify(value)}`;
      const part = (first: number, count: number): Uint8Array => data.slice(first * size, (first + count) * size);
      const size = data.length / sizeOf(dims);
      return this.add({ name, dataType, dims, bytes: data.length, elementBytes: size, part });
    }
    return this.#constantNode(scope, { dataType, dims: dims.map(BigInt), rawData: data });
  }

  /** A Constant node of no elements, in the graph's float type. */
  emptyTensor(scope: string, dims: readonly number[]): string {
    return this.#constantNode(scope, { dataType: this.settings.float, dims: dims.map(BigInt) });
  }

  /** What `make` named, made at the first call with this key. */
  once(key: string, make: () => string): string {
    const known = this.#made.get(key) ?? make();
    this.#made.set(key, known);
    return known;
  }

  /** Adds a weight, unless it is there (a tied one). Returns its name. */
  add(weight: Weight): string {
    if (!this.#shared.weights.has(weight.name)) this.#shared.weights.set(weight.name, weight);
    return weight.name;
  }

  /** A weight of uniform noise around `center`, in the graph's float type, seeded by `source`. */
  noise(name: string, dims: readonly number[], scale: number, center = 0, source = name): string {
    const key = keyOf(this.settings.seed, source);
    return this.add(floatWeight(name, this.settings.float, dims, (index) => center + scale * noise(key, index)));
  }

  /** A [from, to] matrix of noise whose columns differ in strength. */
  matrix(name: string, dims: readonly [number, number], source: Source): string {
    return this.add(matrixWeight(name, this.settings.float, dims, source));
  }

  /** A weight with these values, in the graph's float type. */
  table(name: string, dims: readonly number[], value: (index: number) => number): string {
    return this.add(floatWeight(name, this.settings.float, dims, value));
  }

  /** A short fp32 tensor, whatever the graph's float type is. */
  floats(name: string, dims: readonly number[], values: readonly number[]): string {
    return this.add(floatWeight(name, FLOAT, dims, (index) => values[index] ?? 0));
  }

  int64(name: string, dims: readonly number[], values: readonly number[]): string {
    return this.add(int64Weight(name, dims, values));
  }

  /** A name that torch gives to what it transposed or folded: "onnx::MatMul_17". */
  anonymous(kind: string): string {
    const count = this.#shared.names.get("onnx::") ?? 0;
    this.#shared.names.set("onnx::", count + 1);
    return `onnx::${kind}_${1000 + count}`;
  }

  input(name: string, type: TypeName, dims: readonly Dim[]): string {
    this.inputs.push(valueInfo(name, TYPES[type], dims));
    return name;
  }

  /** A float32 feed, cast to the graph's float type as half-precision converters do that keep the types of feeds. */
  floatInput(name: string, dims: readonly Dim[]): string {
    this.input(name, "float", dims);
    if (this.settings.float === FLOAT) return name;
    return this.op(`/graph_input_cast_${this.inputs.length - 1}:Cast`, [name], { to: FLOAT16 });
  }

  /** Makes a value that one node of this graph made the output `name`; a value with another name is renamed for all its readers. */
  output(value: string, name: string, type: TypeName, dims: readonly Dim[]): string {
    this.outputs.push(valueInfo(name, TYPES[type], dims));
    const producer = this.#producers.get(value);
    if (producer === undefined || this.outputs.some((output) => output.name === value))
      return this.#rename(this.op("/Identity", [value]), name);
    return this.#rename(value, name);
  }

  /** A result of the graph's float type given out as float32. */
  floatOutput(value: string, name: string, dims: readonly Dim[]): string {
    if (this.settings.float === FLOAT) return this.output(value, name, "float", dims);
    const cast = this.op(`/graph_output_cast_${this.outputs.length}:Cast`, [value], { to: FLOAT });
    this.output(cast, name, "float", dims);
    return value;
  }

  /** The graph without weights. */
  graph(name: string): GraphInit & { node: NodeInit[] } {
    return { name, node: this.nodes, input: this.inputs, output: this.outputs };
  }

  #rename(value: string, name: string): string {
    const producer = this.#producers.get(value);
    if (producer === undefined) throw new Error(`no node of this graph makes ${value}`);
    producer.output[producer.output.indexOf(value)] = name;
    this.#producers.set(name, producer);
    for (const { input } of this.nodes)
      for (let i = input.indexOf(value); i >= 0; i = input.indexOf(value)) input[i] = name;
    return name;
  }

  #constantNode(scope: string, tensor: TensorInit): string {
    const name = this.#unique(`${scope}/Constant`);
    const output = `${name}_output_0`;
    const attribute = [{ name: "value", type: 4, t: tensor }];
    this.#add({ opType: "Constant", name, input: [], output: [output], attribute });
    return output;
  }

  #add(node: NodeInit): void {
    this.nodes.push(node);
    for (const name of node.output) this.#producers.set(name, node);
  }

  #unique(path: string): string {
    const count = this.#shared.names.get(path) ?? 0;
    this.#shared.names.set(path, count + 1);
    return count === 0 ? path : `${path}_${count}`;
  }

  #constantOf(value: Exclude<Operand, string>): {
    dataType: number;
    dims: readonly number[];
    data: Uint8Array<ArrayBuffer>;
  } {
    const longs = (values: readonly number[]): Uint8Array<ArrayBuffer> =>
      new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    if (typeof value === "number") return { dataType: INT64, dims: [], data: longs([value]) };
    if ("f32" in value) return { dataType: FLOAT, dims: [], data: floatBytes(value.f32, FLOAT) };
    if ("f" in value)
      return { dataType: this.settings.float, dims: [], data: floatBytes(value.f, this.settings.float) };
    return { dataType: INT64, dims: [value.length], data: longs(value) };
  }
}

function floatBytes(value: number, type: FloatType): Uint8Array<ArrayBuffer> {
  const floats = Float32Array.of(value);
  return new Uint8Array(type === FLOAT ? floats.buffer : toHalf(floats).buffer);
}

function attributeOf([name, value]: [string, AttributeValue]): NonNullable<NodeInit["attribute"]>[number] {
  if (typeof value === "number") return { name, type: 2, i: BigInt(value) };
  if (typeof value === "string") return { name, type: 3, s: new TextEncoder().encode(value) };
  if (value instanceof Builder) return { name, type: 5, g: value.graph(name) };
  if ("float" in value) return { name, type: 1, f: value.float };
  return { name, type: 7, ints: value.map(BigInt) };
}

export function valueInfo(name: string, elemType: number, dims: readonly Dim[]): ValueInit {
  const dim = dims.map((size) => {
    if (typeof size === "string") return { value: { case: "dimParam" as const, value: size } };
    return { value: { case: "dimValue" as const, value: BigInt(size) } };
  });
  return { name, type: { value: { case: "tensorType", value: { elemType, shape: { dim } } } } };
}
