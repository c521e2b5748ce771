import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import type { Builder } from "./builder.ts";
import { type FeedOptions, type Feeds, type FullFeedOptions, fullFeedOptions } from "./feeds.ts";
import type { Resolved } from "./options.ts";
import { filesOf, type GeneratedFile } from "./serialise.ts";

/** `first` starts a sequence and brings the empty state; `next` follows it and leaves bound state out. */
export type FeedKind = "first" | "next";

/** What a family makes of its options: a graph for each file. */
export interface Draft {
  readonly role: "model" | "encoder" | "decoder";
  /** The model file's name. */
  readonly path: string;
  readonly graph: Builder;
  readonly feeds: (kind: FeedKind, options: FullFeedOptions) => Feeds;
  /** State: input → the output that is it in the next run. */
  readonly stateBindings?: Readonly<Record<string, string>>;
  /** Output of another part that this part's input takes: input → role and output. */
  readonly links?: Readonly<Record<string, { readonly role: string; readonly output: string }>>;
}

export interface GeneratedPart extends Omit<Draft, "graph" | "feeds"> {
  /** The model file, then those with its external data. */
  readonly files: readonly GeneratedFile[];
  /** Seeded example feeds. Weights and feeds have seeds of their own. */
  readonly feeds: (kind: FeedKind, options?: FeedOptions) => Feeds;
  readonly stateBindings: Readonly<Record<string, string>>;
}

/** A model of one file, or of several that belong together. */
export interface GeneratedModel {
  readonly options: Resolved;
  readonly parts: readonly GeneratedPart[];
}

export function modelOf(options: Resolved, drafts: readonly Draft[]): GeneratedModel {
  const parts = drafts.map(({ graph, feeds, ...draft }): GeneratedPart => {
    const { ir, opset, externalFiles } = options;
    return {
      ...draft,
      files: filesOf(graph, { path: draft.path, ir, opset, externalFiles }),
      feeds: (kind, wanted = {}) => feeds(kind, fullFeedOptions(wanted)),
      stateBindings: draft.stateBindings ?? {},
    };
  });
  return { options, parts };
}

/** The bytes of a part's files by path, "" being the model file. For small models. */
export function inMemory(part: GeneratedPart): ReadonlyMap<string, Uint8Array> {
  return new Map(part.files.map((file, index) => [index === 0 ? "" : file.path, bytesOf(file)]));
}

export function bytesOf(file: GeneratedFile): Uint8Array {
  const all = new Uint8Array(file.bytes);
  let at = 0;
  for (const chunk of file.chunks()) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Writes every file of a model into a folder, a few megabytes at a time. */
export async function writeModel(model: GeneratedModel, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const file of model.parts.flatMap((part) => part.files)) {
    const handle = await open(join(folder, file.path), "w");
    try {
      for (const chunk of file.chunks()) await handle.writeFile(chunk);
    } finally {
      await handle.close();
    }
  }
}
