import { create, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";

const FLOAT = 1;

/**
 * `layers` times y = Relu(x · W) over [64, 512]: work that shards can share evenly, with little to send. Seeded, not trained.
 *
 * @param {number} layers
 */
export function mlpModel(layers) {
  const node = [];
  const initializer = [];
  for (let layer = 0; layer < layers; layer++) {
    const weights = Float32Array.from(
      { length: 512 * 512 },
      (_, index) => (((index * 31 + layer * 17) % 97) - 48) / 500,
    );
    initializer.push({
      name: `w${layer}`,
      dataType: FLOAT,
      dims: [512n, 512n],
      rawData: new Uint8Array(weights.buffer),
    });
    const [from, to] = [layer === 0 ? "x" : `y${layer - 1}`, layer === layers - 1 ? "y" : `y${layer}`];
    node.push({ opType: "MatMul", name: `/layers.${layer}/matmul`, input: [from, `w${layer}`], output: [`m${layer}`] });
    node.push({ opType: "Relu", name: `/layers.${layer}/relu`, input: [`m${layer}`], output: [to] });
  }
  return modelBytes("mlp", node, initializer, [64, 512]);
}

/**
 * `stages` times y = Softmax(x + w) (Relu, if there is one stage) over a row of `length` floats: next to no computation,
 * so that what is measured is the way to the shards and back; onnxruntime fuses no two stages. Seeded, not trained.
 *
 * @param {number} length @param {number} stages
 */
export function chainModel(length, stages) {
  const node = [];
  const initializer = [];
  for (let stage = 0; stage < stages; stage++) {
    const weights = Float32Array.from({ length }, (_, index) => ((index * 31 + stage * 17) % 97) / 97);
    initializer.push({
      name: `w${stage}`,
      dataType: FLOAT,
      dims: [1n, BigInt(length)],
      rawData: new Uint8Array(weights.buffer),
    });
    const input = stage === 0 ? "x" : `y${stage - 1}`;
    node.push({ opType: "Add", name: `/layers.${stage}/add`, input: [input, `w${stage}`], output: [`s${stage}`] });
    node.push({
      opType: stages === 1 ? "Relu" : "Softmax",
      name: `/layers.${stage}/relu`,
      input: [`s${stage}`],
      output: [stage === stages - 1 ? "y" : `y${stage}`],
    });
  }
  return modelBytes("chain", node, initializer, [1, length]);
}

/** @param {string} name @param {any[]} node @param {any[]} initializer @param {readonly number[]} dims of x and y */
function modelBytes(name, node, initializer, dims) {
  const value = (/** @type {string} */ name) => ({
    name,
    type: {
      value: {
        case: /** @type {const} */ ("tensorType"),
        value: {
          elemType: FLOAT,
          shape: {
            dim: dims.map((dim) => ({ value: { case: /** @type {const} */ ("dimValue"), value: BigInt(dim) } })),
          },
        },
      },
    },
  });
  const graph = { name, node, initializer, input: [value("x")], output: [value("y")] };
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, { irVersion: 8n, opsetImport: [{ domain: "", version: 17n }], graph }),
  );
}
