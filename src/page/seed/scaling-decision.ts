import { COPY_IDLE_MS, SCALING_MEMORY_SHARE, SCALING_QUEUE } from "../../base/limits.ts";

/** One model of an adaptive pool, as it stands now. */
export interface ModelLoad {
  readonly name: string;
  /** Hosts of one copy, and bytes of the weights that they hold. */
  readonly hosts: number;
  readonly weightBytes: number;
  /** Runs that no copy has room for. */
  readonly queue: number;
  /** Since when each copy but the first has had nothing to do, milliseconds by `now`'s clock; null: it works. */
  readonly spareIdleSince: readonly (number | null)[];
  /** False: it keeps state, which another copy would not have, or a copy could not be opened. */
  readonly mayGrow: boolean;
}

export interface ScalingInput {
  readonly models: readonly ModelLoad[];
  /** Hosts in use, those on their way included, and the most there may be. */
  readonly connections: number;
  readonly maxConnections: number;
  /** What all hosts of the site hold: weights, tensors, heap. */
  readonly usedBytes: number;
  /** Null: the browser does not say. */
  readonly deviceBytes: number | null;
  readonly now: number;
}

export interface ScalingDecision {
  /** A copy more of this model, and why; null: none. */
  readonly grow: { readonly name: string; readonly reason: string } | null;
  /** Models that give an idle copy back, one for each time that they are named. */
  readonly shrink: readonly string[];
}

/**
 * By queue length and memory: the model with the longest queue gets one copy more where hosts and memory are there for it; copies
 * that have been idle for a while go, and at once where memory is short. Decides and does nothing.
 */
export function decideScaling(input: ScalingInput): ScalingDecision {
  const { models, connections, maxConnections, usedBytes, deviceBytes, now } = input;
  const budget = (deviceBytes ?? Number.POSITIVE_INFINITY) * SCALING_MEMORY_SHARE;
  const patience = usedBytes > budget ? 0 : COPY_IDLE_MS;
  const shrink = models.flatMap(({ name, queue, spareIdleSince }) =>
    spareIdleSince.flatMap((since) => (queue === 0 && since !== null && now - since >= patience ? [name] : [])),
  );
  const [busiest] = models
    .filter(
      ({ mayGrow, queue, hosts, weightBytes, spareIdleSince }) =>
        mayGrow &&
        queue >= SCALING_QUEUE * (1 + spareIdleSince.length) &&
        connections + hosts <= maxConnections &&
        usedBytes + weightBytes <= budget,
    )
    .toSorted((a, b) => b.queue - a.queue);
  if (busiest === undefined) return { grow: null, shrink };
  const { name, queue, spareIdleSince } = busiest;
  const copies = 1 + spareIdleSince.length;
  return { grow: { name, reason: `${queue} runs waited for ${copies} ${copies === 1 ? "copy" : "copies"}` }, shrink };
}
