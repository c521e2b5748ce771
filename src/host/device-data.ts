import { arrayOf } from "../base/bytes.ts";
import type { WireTensor, WireTensors } from "../base/tensor.ts";
import type { CheckpointRecord } from "../protocol/host.ts";

/** A tensor with its bytes at hand. @throws what the device throws, when it is lost. */
async function onHost(tensor: WireTensor): Promise<WireTensor> {
  const { type, dims, device } = tensor;
  return device === undefined ? tensor : { type, dims, data: new (arrayOf(type))(await device.read()) };
}

export async function allOnHost(tensors: WireTensors): Promise<WireTensors> {
  if (Object.values(tensors).every(({ device }) => device === undefined)) return tensors;
  const each = Object.entries(tensors).map(async ([name, tensor]) => [name, await onHost(tensor)] as const);
  return Object.fromEntries(await Promise.all(each));
}

/** A record as it can be stored. */
export async function recordOnHost(record: CheckpointRecord): Promise<CheckpointRecord> {
  const versions = record.versions.map(async ({ tensors, ...version }) => ({
    ...version,
    tensors: await Promise.all(tensors.map(async (each) => ({ ...each, tensor: await onHost(each.tensor) }))),
  }));
  return { ...record, versions: await Promise.all(versions) };
}

export function hasDeviceData({ versions }: CheckpointRecord): boolean {
  return versions.some(({ tensors }) => tensors.some(({ tensor }) => tensor.device !== undefined));
}

export function freeAll(tensors: WireTensors): void {
  for (const { device } of Object.values(tensors)) device?.free();
}
