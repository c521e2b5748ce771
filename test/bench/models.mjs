import { create, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";

const FLOAT = 1;

/**
 * `stages` times y = Softmax(x + w) (Relu, if there is one stage) over a row of `length` floats: next to no computation,
 * so that what is measured is the way to the shards and back; onnxruntime fuses no two stages. Seeded, not trained.
 *
 * @param {number} length @param {number} stages
 */
export function chainModel(length, stages) {
  const value = (/** @type {string} */ name) => ({
    name,
    type: {
      value: {
        case: /** @type {const} */ ("tensorType"),
        value: {
          elemType: FLOAT,
          shape: {
            dim: [1, length].map((dim) => ({ value: { case: /** @type {const} */ ("dimValue"), value: BigInt(dim) } })),
          },
        },
      },
    },
  });
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
  const graph = { name: "chain", node, initializer, input: [value("x")], output: [value("y")] };
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, { irVersion: 8n, opsetImport: [{ domain: "", version: 17n }], graph }),
  );
}
