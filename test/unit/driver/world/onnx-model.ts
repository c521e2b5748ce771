import * as ort from "onnxruntime-web/wasm";
import type { ElementType, TensorData, WireTensor, WireTensors } from "../../../../src/base/tensor.ts";
import { extractShard } from "../../../../src/shard/extract.ts";
import { planShards } from "../../../../src/shard/plan.ts";
import { readSkeleton } from "../../../../src/shard/skeleton.ts";
import { summarize } from "../../../../src/shard/summary.ts";
import type { ShardSpec } from "../../../../src/shard/types.ts";
import { fileOf, type ModelName, modelFiles, readerOf } from "../../shard/models.ts";
import { hostSession } from "../../shard/pipeline.ts";
import type { WorldModel } from "./world.ts";

/** A real model in onnxruntime, cut into shards: what the hosts of a world compute with. Equal hosts share a session. */
export async function onnxModel(name: ModelName, shards: number): Promise<WorldModel & { close(): Promise<void> }> {
  const files = modelFiles(name);
  const skeleton = readSkeleton(readerOf(fileOf(files, "")));
  const plan = planShards(skeleton, { shards });
  const sessions = await Promise.all(
    plan.shards.map((shard) => hostSession(extractShard(skeleton, plan, shard.index), shard, files)),
  );
  return {
    specs: plan.shards,
    plan: summarize(plan),
    execute: async ({ index }: ShardSpec, inputs: WireTensors) => {
      const session = sessions[index] as ort.InferenceSession;
      return toWire(await session.run(toOrt(inputs)));
    },
    close: async () => {
      for (const session of sessions) await session.release();
    },
  };
}

function toOrt(tensors: WireTensors): Record<string, ort.Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { type, dims, data }]) => [
      name,
      new ort.Tensor(type as "float32", data as Float32Array, dims),
    ]),
  );
}

function toWire(tensors: Readonly<Record<string, ort.Tensor>>): Record<string, WireTensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { type, dims, data }]) => [
      name,
      { type: type as ElementType, dims, data: data as TensorData },
    ]),
  );
}
