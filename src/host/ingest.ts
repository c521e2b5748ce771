import { toHex } from "../base/bytes.ts";
import { HoldfastError, toErrorData } from "../base/errors.ts";
import { RpcPeer, servePort } from "../base/rpc.ts";
import type { IngestCalls } from "../protocol/ingest.ts";
import type { SessionOptions } from "../protocol/options.ts";
import type { PlanningInput } from "../protocol/planning.ts";
import { extractShard } from "../shard/extract.ts";
import { readSkeleton } from "../shard/skeleton.ts";
import { type PlanSummary, summarize } from "../shard/summary.ts";
import type { RangeReader, ShardPlan } from "../shard/types.ts";
import { planModel } from "./plan-model.ts";

/** Part of every plan's id: a planner that cuts differently makes plans of other ids. */
const PLANNER_VERSION = 2;

interface BlobWriter {
  readonly bytes: number;
  write(bytes: Uint8Array): void;
  finish(): Promise<string>;
  discard(): Promise<void>;
}

export interface IngestStores {
  beginBlob(): Promise<BlobWriter>;
  openBlob(digest: string): Promise<RangeReader & { close(): void }>;
  writePlan(
    planId: string,
    stored: { plan: ShardPlan; files: Readonly<Record<string, string>> },
    graphs: readonly Uint8Array[],
  ): Promise<void>;
}

export interface IngestReports {
  progress(phase: "download" | "plan", loadedBytes: number, totalBytes: number | null): void;
  planned(planId: string, plan: PlanSummary): void;
  failed(error: unknown): void;
}

/**
 * Takes a model's files from the page in pieces, stores them under their SHA-256, and cuts the model without ever
 * holding its weights.
 */
export function serveIngest(
  port: MessagePort,
  options: SessionOptions,
  planning: PlanningInput,
  stores: IngestStores,
  reports: IngestReports,
): void {
  const open = new Map<string, BlobWriter>();
  const files: Record<string, string> = {};
  let loaded = 0;
  let total: number | null = 0;

  const giveUp = async (error: unknown): Promise<never> => {
    for (const writer of open.values()) await writer.discard().catch(() => undefined);
    open.clear();
    reports.failed(error);
    throw HoldfastError.from(toErrorData(error));
  };
  const guarded =
    <P>(step: (params: P) => Promise<null>) =>
    (params: P) =>
      step(params).catch(giveUp);

  const peer = new RpcPeer<Record<never, never>, Record<never, never>, IngestCalls, Record<never, never>>(
    (message) => port.postMessage(message),
    {
      begin: guarded(async ({ path, size }) => {
        open.set(path, await stores.beginBlob());
        total = total === null || size === null ? null : total + size;
        return null;
      }),
      chunk: guarded(async ({ path, bytes }) => {
        writerOf(open, path).write(bytes);
        loaded += bytes.length;
        reports.progress("download", loaded, total);
        return null;
      }),
      end: guarded(async ({ path }) => {
        files[path] = await writerOf(open, path).finish();
        open.delete(path);
        return null;
      }),
      finish: guarded(async () => {
        reports.progress("plan", loaded, total);
        const { planId, summary } = await cut(files, options, planning, stores);
        reports.planned(planId, summary);
        return null;
      }),
      cancel: () => giveUp(new HoldfastError("ABORTED", "The page stopped sending the model.")),
    },
    {},
  );
  servePort(port, peer);
}

function writerOf(open: ReadonlyMap<string, BlobWriter>, path: string): BlobWriter {
  const writer = open.get(path);
  if (writer === undefined) throw new HoldfastError("INTERNAL", `no file ${path} was begun`);
  return writer;
}

async function cut(
  files: Readonly<Record<string, string>>,
  options: SessionOptions,
  planning: PlanningInput,
  stores: IngestStores,
): Promise<{ planId: string; summary: PlanSummary }> {
  const main = files[""];
  if (main === undefined)
    throw new HoldfastError("BAD_MODEL", "No model file came. Give a URL, bytes, or { graph, externalData }.");
  const reader = await stores.openBlob(main);
  try {
    const skeleton = readSkeleton(reader);
    const plan = planModel(skeleton, options, planning);
    for (const { file } of plan.shards.flatMap((shard) => shard.weights)) {
      if (files[file] === undefined) {
        throw new HoldfastError(
          "BAD_MODEL",
          `The model keeps weights in "${file}", which was not given. Pass { graph, externalData: { "${file}": … } }.`,
        );
      }
    }
    const graphs = plan.shards.map((_, index) => extractShard(skeleton, plan, index));
    const planId = await planIdOf(files, options, plan);
    await stores.writePlan(planId, { plan, files }, graphs);
    return { planId, summary: summarize(plan) };
  } finally {
    reader.close();
  }
}

async function planIdOf(
  files: Readonly<Record<string, string>>,
  { shards, shardingStrategy, stateBindings }: SessionOptions,
  plan: ShardPlan,
): Promise<string> {
  const sorted = Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1));
  // What was measured meanwhile may move the cuts: then it is another plan, and the stored state of the old one is not its.
  const cuts = [plan.strategy, ...plan.cuts.map(({ place }) => place)];
  const text = JSON.stringify([PLANNER_VERSION, sorted, shards, shardingStrategy, stateBindings, cuts]);
  return toHex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
