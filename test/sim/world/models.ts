/** A model of the simulator: its name says all there is to know of it. */
export interface SimModel {
  readonly shards: number;
  readonly stateful: boolean;
}

export function nameOf({ shards, stateful }: SimModel): string {
  return `sim-${shards}-${stateful ? "stateful" : "plain"}`;
}

/** From a model's or a plan's name. */
export function modelOf(name: string): SimModel {
  const [, shards, kind] = /sim-(\d+)-(\w+)/.exec(name) ?? [];
  return { shards: Number(shards ?? 0), stateful: kind === "stateful" };
}

export function planIdOf(model: string): string {
  return `plan of ${model}`;
}

/** Stands for a shard's graph. */
export function graphOf(planId: string, shard: number): Uint8Array {
  const { shards, stateful } = modelOf(planId);
  return Uint8Array.of(shards, shard, stateful ? 1 : 0);
}
