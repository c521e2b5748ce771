import { HoldfastError } from "../base/errors.ts";
import { namesRead } from "./captures.ts";
import { inlineFunctions } from "./functions.ts";
import { oncePer } from "./memo.ts";
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  parseModel,
  type TensorProto,
  type ValueInfoProto,
} from "./model.ts";
import { lazyOrder } from "./order.ts";
import type { Skeleton } from "./skeleton.ts";
import type { WeightRange } from "./types.ts";
import { type Constant, constantOf, constantTensor, weightRanges } from "./weights.ts";

export interface GraphNode {
  /** Place in the order. */
  readonly index: number;
  readonly proto: NodeProto;
  /** Names read, captured ones included; once each, none empty. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** A model's top-level graph: live nodes in topological order, and what its names stand for. */
export interface Graph {
  readonly model: ModelProto & { graph: GraphProto };
  readonly nodes: readonly GraphNode[];
  readonly producers: ReadonlyMap<string, GraphNode>;
  readonly consumers: ReadonlyMap<string, readonly GraphNode[]>;
  readonly constants: ReadonlyMap<string, Constant>;
  /** Inputs that have no initialiser. */
  readonly inputs: readonly ValueInfoProto[];
  readonly outputs: readonly ValueInfoProto[];
  /** Where the bytes of each external tensor are. */
  readonly ranges: ReadonlyMap<TensorProto, WeightRange>;
}

/** The graph of a skeleton; read once per skeleton. */
export const graphOf = oncePer((skeleton: Skeleton): Graph => readGraph(parseModel(skeleton.bytes)));

function readGraph(model: ModelProto & { graph: GraphProto }): Graph {
  const proto = inlineFunctions(model);
  const ranges = weightRanges(proto);
  const constants = new Map<string, Constant>();
  const add = (name: string, tensor: TensorProto): void => void constants.set(name, constantOf(name, tensor, ranges));
  for (const tensor of proto.initializer) add(tensor.name, tensor);
  if (proto.sparseInitializer.length > 0) {
    throw new HoldfastError(
      "UNSUPPORTED_OP",
      "sparse initialisers are not supported: export the model with dense weights",
    );
  }
  const flows: Omit<GraphNode, "index">[] = [];
  for (const node of proto.node) {
    const tensor = constantTensor(node);
    const outputs = node.output.filter((name) => name !== "");
    if (tensor !== null) for (const name of outputs) add(name, tensor);
    else flows.push({ proto: node, inputs: namesRead(node), outputs });
  }
  const inputs = proto.input.filter((value) => !constants.has(value.name));
  checkNames(proto, flows, new Set([...inputs.map((value) => value.name), ...constants.keys()]));
  const results = proto.output.map((value) => value.name);
  const nodes = lazyOrder(flows, results).map((flow, index) => ({ ...flow, index }));
  return { model, nodes, ...links(nodes), constants, inputs, outputs: proto.output, ranges };
}

function links(nodes: readonly GraphNode[]): Pick<Graph, "producers" | "consumers"> {
  const producers = new Map<string, GraphNode>();
  const consumers = new Map<string, GraphNode[]>();
  for (const node of nodes) {
    for (const name of node.outputs) producers.set(name, node);
    for (const name of node.inputs) {
      const list = consumers.get(name);
      if (list === undefined) consumers.set(name, [node]);
      else list.push(node);
    }
  }
  return { producers, consumers };
}

/** Every name is defined once, and every name read is defined. */
function checkNames(proto: GraphProto, flows: readonly Omit<GraphNode, "index">[], given: ReadonlySet<string>): void {
  const defined = new Set(given);
  for (const flow of flows) {
    for (const name of flow.outputs) {
      if (defined.has(name)) throw bad(`the tensor ${name} is defined twice`);
      defined.add(name);
    }
  }
  for (const flow of flows) {
    for (const name of flow.inputs) {
      if (!defined.has(name))
        throw bad(`node ${flow.proto.name || flow.proto.opType} reads ${name}, which nothing defines`);
    }
  }
  for (const value of proto.output) if (!defined.has(value.name)) throw bad(`nothing defines the output ${value.name}`);
  if (proto.output.length === 0) throw bad("the graph has no outputs");
}

function bad(message: string): HoldfastError {
  return new HoldfastError("BAD_MODEL", `${message}: export the model again`);
}
