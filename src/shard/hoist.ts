import { bodiesOf } from "./captures.ts";
import type { Graph } from "./graph.ts";
import {
  changeBodies,
  copyTensor,
  createGraph,
  createNode,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from "./model.ts";
import { constantTensor } from "./weights.ts";

/** Initialisers of the outer graph that come from bodies. */
export type Hoisted = TensorProto[];

/**
 * The node with the large tensors of its bodies moved to `hoisted`, from where the bodies capture them: onnxruntime reads
 * external data only in the outermost graph ("external data path could not be canonicalized" otherwise).
 */
export function hoistWeights(graph: Graph, node: NodeProto, hoisted: Hoisted): NodeProto {
  return bodiesOf(node).length === 0 ? node : changeBodies(node, (body) => hoistFrom(graph, body, new Map(), hoisted));
}

function hoistFrom(graph: Graph, body: GraphProto, renamed: ReadonlyMap<string, string>, hoisted: Hoisted): GraphProto {
  const names = new Map(renamed);
  const isHoisted = (name: string, tensor: TensorProto | null): boolean => {
    const range = tensor === null ? undefined : graph.ranges.get(tensor);
    if (tensor === null || range === undefined) return false;
    const outer = `holdfast/${range.path}`;
    hoisted.push(copyTensor(tensor, outer, range.path, range.length));
    names.set(name, outer);
    return true;
  };
  const initializer = body.initializer.filter((tensor) => !isHoisted(tensor.name, tensor));
  const kept = body.node.filter((node) => !isHoisted(node.output[0] ?? "", constantTensor(node)));
  const node = kept.map((inner) => {
    const input = inner.input.map((name) => names.get(name) ?? name);
    return changeBodies(createNode({ ...inner, input }), (nested) => hoistFrom(graph, nested, names, hoisted));
  });
  for (const { name } of body.output) {
    const outer = names.get(name);
    if (outer !== undefined) node.push(createNode({ opType: "Identity", input: [outer], output: [name] }));
  }
  return createGraph({ ...body, node, initializer });
}
