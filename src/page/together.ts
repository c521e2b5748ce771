import { HoldfastError } from "../base/errors.ts";
import type { SessionEvent } from "../protocol/events.ts";
import { shareOut } from "../shard/share-out.ts";
import type { CreateSessionOptions } from "./pool.ts";
import type { Content, ModelSource, OpenModel } from "./source.ts";

/** What `createSession` takes, for each of the models alike, but for these. */
export interface CreateSessionsOptions extends Omit<CreateSessionOptions, "shards" | "onEvent"> {
  /**
   * Shards of all models together, at least one each: shared out by the bytes of their files. One that cannot be cut so often
   * gets as many as it can be. Left out: each runs whole.
   */
  readonly shards?: number | undefined;
  /** Which weights of a repository: "fp16", "q4" …; left out: the plain ones. */
  readonly variant?: string;
  readonly onEvent?: (event: SessionEvent, name: string) => void;
}

interface Released {
  release(): Promise<void>;
}

export interface TogetherNeeds<S extends Released> {
  create(model: ModelSource, options: CreateSessionOptions): Promise<S>;
  /** Bytes; null: nobody says. */
  weigh(model: ModelSource): Promise<number | null>;
}

/**
 * One session a model, one after the other: hosts that all start at once slow each other down. All or none: what is open when
 * another fails, or the signal fires, is released.
 */
export async function openTogether<S extends Released>(
  models: Readonly<Record<string, ModelSource>>,
  { shards, variant: _, onEvent, ...options }: CreateSessionsOptions,
  needs: TogetherNeeds<S>,
): Promise<Record<string, S>> {
  checkCount(Object.keys(models), shards);
  const shares = shards === undefined ? null : await sharesOf(Object.values(models), shards, needs);
  const opened: [string, S][] = [];
  try {
    for (const [at, [name, model]] of Object.entries(models).entries()) {
      const told = onEvent === undefined ? {} : { onEvent: (event: SessionEvent) => onEvent(event, name) };
      opened.push([name, await openOne(model, { ...options, ...told }, shares?.[at], needs)]);
    }
    return Object.fromEntries(opened);
  } catch (error) {
    await Promise.allSettled(opened.map(([, session]) => session.release()));
    throw error;
  }
}

/** A model whose graph cannot be cut so often: only its planning can tell. */
async function openOne<S extends Released>(
  model: ModelSource,
  options: CreateSessionOptions,
  shards: number | undefined,
  { create }: TogetherNeeds<S>,
): Promise<S> {
  try {
    return await create(model, { ...options, shards });
  } catch (error) {
    const most = error instanceof HoldfastError && error.code === "TOO_MANY_SHARDS" ? error.limit : undefined;
    if (most === undefined) throw error;
    return create(model, { ...options, shards: most });
  }
}

/** One whose size nobody tells counts as an average one. */
async function sharesOf<S extends Released>(
  models: readonly ModelSource[],
  shards: number,
  { weigh }: TogetherNeeds<S>,
): Promise<number[]> {
  if (shards === models.length) return models.map(() => 1);
  const weights = await Promise.all(models.map((model) => weigh(model)));
  const known = weights.filter((weight) => weight !== null);
  const mean = known.length === 0 ? 1 : known.reduce((sum, weight) => sum + weight, 0) / known.length;
  return shareOut(
    weights.map((weight) => weight ?? mean),
    shards,
  );
}

function checkCount(names: readonly string[], shards: number | undefined): void {
  if (names.length === 0) throw new HoldfastError("BAD_OPTIONS", "No model was named; give at least one.");
  if (shards === undefined || (Number.isInteger(shards) && shards >= names.length)) return;
  throw new HoldfastError(
    "BAD_OPTIONS",
    `shards must be a whole number of at least ${names.length}, one for each of ${names.join(", ")}; or leave it out.`,
  );
}

/** Bytes of a model's files, the external data that exporters put beside a graph included; null: a server does not say. */
export async function weightOf({ name, files, sibling }: OpenModel): Promise<number | null> {
  const sizes = await Promise.all(files.map(({ content }) => sizeOf(content)));
  const own = sizes.reduce<number | null>((sum, size) => (sum === null || size === null ? null : sum + size), 0);
  if (own === null || sibling === null) return own;
  const beside = await sibling(`${name.split("/").at(-1)}_data`).catch(() => null);
  return own + ((beside === null ? null : await sizeOf(beside.content)) ?? 0);
}

async function sizeOf(content: Content): Promise<number | null> {
  switch (content.kind) {
    case "bytes":
      return content.bytes.length;
    case "blob":
      return content.blob.size;
    case "stream":
      return null;
    case "url": {
      const { url, headers } = content;
      const response = await fetch(url, { method: "HEAD", ...(headers && { headers }) }).catch(() => null);
      const length = response?.ok ? Number(response.headers.get("content-length") ?? 0) : 0;
      return length > 0 ? length : null;
    }
  }
}
