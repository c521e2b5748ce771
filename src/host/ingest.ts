import { toHex } from "../base/bytes.ts";
import { HoldfastError, toErrorData } from "../base/errors.ts";
import { MODEL_FILES_AT_ONCE_MAX, MODEL_FILES_MAX } from "../base/limits.ts";
import { RpcPeer, servePort } from "../base/rpc.ts";
import type { IngestCalls } from "../protocol/ingest.ts";
import type { SessionOptions } from "../protocol/options.ts";
import type { PlanningInput } from "../protocol/planning.ts";
import { extractShard } from "../shard/extract.ts";
import { readSkeleton } from "../shard/skeleton.ts";
import { type PlanSummary, summarize } from "../shard/summary.ts";
import type { RangeReader, ShardPlan } from "../shard/types.ts";
import { IngestProgress } from "./ingest-progress.ts";
import { planModel } from "./plan-model.ts";

/** Part of every plan's id: a planner that cuts differently makes plans of other ids. */
const PLANNER_VERSION = 2;
const PATH_CHARS_MAX = 1_000;

interface BlobWriter {
  append(bytes: Uint8Array): Promise<void>;
  restart(size: number | null): Promise<void>;
  /** Stores the file under its digest, which it returns; throws MODEL_INTEGRITY when another one was expected. */
  finish(): Promise<string>;
  discard(): Promise<void>;
}

type Files = ReadonlyMap<string, string>;

export interface IngestStores {
  /** Reads a URL as anybody may, or has it already; refused: the page is to send the bytes itself. */
  fetchBlob(
    wish: { readonly url: string; readonly digest: string | null },
    signal: AbortSignal,
    onBytes: (loaded: number, total: number | null) => void,
  ): Promise<{ readonly digest: string; readonly size: number } | { readonly refused: string }>;
  beginBlob(name: string, size: number | null, digest: string | null): Promise<BlobWriter>;
  openBlob(digest: string): Promise<RangeReader & { close(): void }>;
  writePlan(
    planId: string,
    stored: { plan: ShardPlan; files: Readonly<Record<string, string>> },
    graphs: readonly Uint8Array[],
  ): Promise<void>;
}

export interface IngestReports {
  progress(
    phase: "download" | "plan",
    loadedBytes: number,
    totalBytes: number | null,
    bytesPerSecond: number | null,
  ): void;
  planned(planId: string, plan: PlanSummary): void;
  failed(error: unknown): void;
  /** Milliseconds that only grow. */
  now(): number;
}

/** A model on its way in. */
export interface Ingest {
  /** Its page or its host is gone: downloads stop where they are, and what the page sent is thrown away. */
  stop(): void;
}

/**
 * Takes a model's files, over URLs or from the page in pieces, stores them under their SHA-256, and cuts the model
 * without ever holding its weights. The page is not to be trusted: what comes twice, too late or misshapen is refused.
 */
export function serveIngest(
  port: MessagePort,
  options: SessionOptions,
  planning: PlanningInput,
  stores: IngestStores,
  reports: IngestReports,
): Ingest {
  const begun = new Set<string>();
  const open = new Map<string, { writer: BlobWriter; written: Promise<void> }>();
  const files = new Map<string, string>();
  const progress = new IngestProgress(reports);
  const stopped = new AbortController();
  let coming = 0;
  // A type of its own: what a step awaited may have changed it.
  let phase = "taking" as "taking" | "complete" | "failed";

  const giveUp = async (error: unknown): Promise<never> => {
    if (phase !== "failed") {
      phase = "failed";
      stopped.abort(error);
      reports.failed(error);
      for (const { writer } of open.values()) await writer.discard().catch(() => undefined);
      open.clear();
    }
    throw HoldfastError.from(toErrorData(error));
  };
  const guarded =
    <P, R>(step: (params: P) => Promise<R>) =>
    async (params: P): Promise<R> => {
      // The session may live by now, and is not to end because its page goes on talking.
      if (phase !== "taking") throw new HoldfastError("BAD_OPTIONS", `This model is ${phase}; open another session.`);
      return step(params).catch(giveUp);
    };
  const begin = (path: unknown, digest: unknown): string => {
    if (typeof path !== "string" || path.length > PATH_CHARS_MAX || !(digest === null || typeof digest === "string"))
      throw new HoldfastError("BAD_OPTIONS", `A file's path must be a text of at most ${PATH_CHARS_MAX} characters.`);
    if (begun.has(path)) throw new HoldfastError("BAD_OPTIONS", `The file "${path}" was given twice; give it once.`);
    if (begun.size >= MODEL_FILES_MAX)
      throw new HoldfastError("LIMIT_REACHED", `A model may have ${MODEL_FILES_MAX} files; join its external data.`);
    // Each has a file handle or a connection of its own.
    if (open.size + coming >= MODEL_FILES_AT_ONCE_MAX)
      throw new HoldfastError("LIMIT_REACHED", `At most ${MODEL_FILES_AT_ONCE_MAX} files may come at once.`);
    begun.add(path);
    return path;
  };
  const writerOf = (path: string) => {
    const entry = open.get(path);
    if (entry === undefined) throw new HoldfastError("BAD_OPTIONS", `No file "${path}" was begun.`);
    return entry;
  };

  const peer = new RpcPeer<Record<never, never>, Record<never, never>, IngestCalls, Record<never, never>>(
    (message) => port.postMessage(message),
    {
      fetch: guarded(async ({ path: asked, url, digest }) => {
        const path = begin(asked, digest);
        if (typeof url !== "string") throw new HoldfastError("BAD_OPTIONS", "The model's URL must be a text.");
        coming++;
        const stored = await stores
          .fetchBlob({ url, digest }, stopped.signal, (loaded, total) => progress.file(path, loaded, total))
          .finally(() => coming--);
        if ("refused" in stored) {
          begun.delete(path);
          progress.forget(path);
          return { stored: false, why: stored.refused };
        }
        files.set(path, stored.digest);
        progress.done(path, stored.size);
        return { stored: true, why: null };
      }),
      begin: guarded(async ({ path: asked, size, digest }) => {
        checkSize(size);
        const path = begin(asked, digest);
        coming++;
        const writer = await stores.beginBlob(path, size, digest).finally(() => coming--);
        if (phase !== "taking") {
          await writer.discard();
          return null;
        }
        open.set(path, { writer, written: Promise.resolve() });
        progress.file(path, 0, size);
        return null;
      }),
      chunk: guarded(async ({ path, bytes }) => {
        const entry = writerOf(path);
        if (!(bytes instanceof Uint8Array)) throw new HoldfastError("BAD_OPTIONS", "A piece of a file must be bytes.");
        // One after the other: making room takes a moment, in which the next piece may come.
        entry.written = entry.written.then(() => entry.writer.append(bytes));
        await entry.written;
        progress.add(path, bytes.length);
        return null;
      }),
      restart: guarded(async ({ path, size }) => {
        checkSize(size);
        const entry = writerOf(path);
        entry.written = entry.written.then(() => entry.writer.restart(size));
        await entry.written;
        progress.file(path, 0, size);
        return null;
      }),
      end: guarded(async ({ path }) => {
        const { writer, written } = writerOf(path);
        await written;
        open.delete(path);
        files.set(path, await writer.finish());
        progress.done(path, null);
        return null;
      }),
      missing: guarded(async () => {
        const named = await withModel(files, stores, (reader) => readSkeleton(reader).files);
        return named.filter((path) => !files.has(path));
      }),
      finish: guarded(async () => {
        if (open.size > 0) throw new HoldfastError("BAD_OPTIONS", "A file of the model was begun and not ended.");
        phase = "complete";
        progress.plan();
        const { planId, summary } = await cut(files, options, planning, stores);
        reports.planned(planId, summary);
        return null;
      }),
      cancel: async () => {
        if (phase !== "taking") return null;
        return giveUp(new HoldfastError("ABORTED", "The page stopped sending the model."));
      },
    },
    {},
  );
  servePort(port, peer);
  return {
    stop: () => {
      if (phase === "taking") giveUp(new HoldfastError("HOST_LOST", "The host was closed.")).catch(() => undefined);
    },
  };
}

/** Room is made for what a page says will come. */
function checkSize(size: unknown): void {
  if (size === null || (Number.isSafeInteger(size) && (size as number) >= 0)) return;
  throw new HoldfastError("BAD_OPTIONS", "A file's size must be a whole number of bytes, or null.");
}

async function withModel<T>(
  files: Files,
  stores: IngestStores,
  use: (reader: RangeReader) => T | Promise<T>,
): Promise<T> {
  const main = files.get("");
  if (main === undefined)
    throw new HoldfastError("BAD_MODEL", "No model file came. Give a URL, bytes, or { graph, externalData }.");
  const reader = await stores.openBlob(main);
  try {
    return await use(reader);
  } finally {
    reader.close();
  }
}

function cut(
  files: Files,
  options: SessionOptions,
  planning: PlanningInput,
  stores: IngestStores,
): Promise<{ planId: string; summary: PlanSummary }> {
  return withModel(files, stores, async (reader) => {
    const skeleton = readSkeleton(reader);
    const plan = planModel(skeleton, options, planning);
    for (const { file } of plan.shards.flatMap((shard) => shard.weights)) {
      if (!files.has(file)) {
        throw new HoldfastError(
          "BAD_MODEL",
          `The model keeps weights in "${file}", which was not given. Pass { graph, externalData: { "${file}": … } }.`,
        );
      }
    }
    const graphs = plan.shards.map((_, index) => extractShard(skeleton, plan, index));
    const planId = await planIdOf(files, options, plan);
    await stores.writePlan(planId, { plan, files: Object.fromEntries(files) }, graphs);
    return { planId, summary: summarize(plan) };
  });
}

async function planIdOf(
  files: Files,
  { shards, shardingStrategy, stateBindings }: SessionOptions,
  plan: ShardPlan,
): Promise<string> {
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  // What was measured meanwhile may move the cuts: then it is another plan, and the stored state of the old one is not its.
  const cuts = [plan.strategy, ...plan.cuts.map(({ place }) => place)];
  const text = JSON.stringify([PLANNER_VERSION, sorted, shards, shardingStrategy, stateBindings, cuts]);
  return toHex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
