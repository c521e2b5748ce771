import type { Builder } from "./builder.ts";
import { type Feed, type Feeds, type FullFeedOptions, flag, tokens, zeros } from "./feeds.ts";
import type { FeedKind } from "./model.ts";
import type { Resolved } from "./options.ts";
import { FLOAT } from "./weights.ts";

/**
 * The cache of an encoder–decoder: each layer's keys and values over the decoder's own tokens and over the encoder's output,
 * which only the first run computes.
 */
const PARTS = ["decoder", "encoder"].flatMap((side) => [`${side}.key`, `${side}.value`]);

export function cacheNames(layers: number): string[] {
  return Array.from({ length: layers }, (_, layer) => PARTS.map((part) => `${layer}.${part}`)).flat();
}

/** A cached tensor of a decoder: what came in, in the branch that has a cache. */
export interface Cache {
  readonly past: boolean;
  /** Gives the new state out; in a file without a cache, does nothing. */
  readonly keep: (name: string, value: string) => string;
  /** A tensor of the last run. */
  readonly of: (name: string) => string;
}

export const NO_CACHE: Cache = {
  past: false,
  keep: (_name, value) => value,
  of: (name) => {
    throw new Error(`there is no ${name} without a cache`);
  },
};

/**
 * `decoder_model_merged.onnx` as optimum merges it: one If over two whole decoders that share their weights, the one without and
 * the one with a cache. `decoder` makes the logits.
 */
export function mergeDecoders(g: Builder, o: Resolved, decoder: (branch: Builder, cache: Cache) => string): void {
  const type = g.settings.float === FLOAT ? "float" : "float16";
  const names = cacheNames(o.otherLayers);
  const dims = (name: string, when: string) => {
    const length = name.includes("encoder") ? "encoder_sequence_length" : `${when}decoder_sequence_length`;
    return ["batch_size", o.heads, length, o.headDim];
  };
  for (const name of names) g.input(`past_key_values.${name}`, type, dims(name, "past_"));
  g.input("use_cache_branch", "bool", [1]);
  const logits = ["batch_size", "decoder_sequence_length", o.vocab];
  const branch = (past: boolean): Builder => {
    const body = g.branch();
    const made = new Map<string, string>();
    const keep = (name: string, value: string): string => {
      made.set(name, value);
      return value;
    };
    const result = decoder(body, { past, keep, of: (name) => `past_key_values.${name}` });
    body.floatOutput(result, "logits", logits);
    for (const name of names) {
      body.output(made.get(name) ?? passed(body, o, name), `present.${name}`, type, dims(name, "total_"));
    }
    return body;
  };
  const bodies = { then_branch: branch(true), else_branch: branch(false) };
  const [first = "", ...rest] = g.ops("optimum::if:If", names.length + 1, ["use_cache_branch"], bodies);
  g.output(first, "logits", "float", logits);
  for (const [index, name] of names.entries())
    g.output(rest[index] ?? "", `present.${name}`, type, dims(name, "total_"));
}

/** What the branch that has a cache gives for keys and values that it does not compute. */
function passed(g: Builder, o: Resolved, name: string): string {
  if (o.crossCache === "passed") return g.op("/Identity", [`past_key_values.${name}`]);
  return g.emptyTensor("", [0, o.heads, 1, o.headDim]);
}

export function cacheBindings({ otherLayers, crossCache }: Resolved): Readonly<Record<string, string>> {
  const bound = cacheNames(otherLayers).filter((name) => crossCache === "passed" || !name.includes("encoder"));
  return Object.fromEntries(bound.map((name) => [`past_key_values.${name}`, `present.${name}`]));
}

/** What every merged decoder is fed: ids, an empty cache at first, and the branch. */
export function mergedFeeds(g: Builder, o: Resolved, kind: FeedKind, { seed, batch, length, past }: FullFeedOptions) {
  const isFirst = kind === "first";
  const empty = isFirst ? cacheNames(o.otherLayers) : [];
  const feeds: Record<string, Feed> = {
    input_ids: tokens("input_ids", seed, isFirst ? [batch, length] : [batch, 1], o.vocab, isFirst ? 0 : past),
    use_cache_branch: flag(!isFirst),
  };
  for (const name of empty) feeds[`past_key_values.${name}`] = zeros(g, [batch, o.heads, 0, o.headDim]);
  return feeds satisfies Feeds;
}
