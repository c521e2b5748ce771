import { arrayOf } from "../base/bytes.ts";
import { type ErrorData, HoldfastError, toErrorData } from "../base/errors.ts";
import { PROMPT_TOKENS_MAX } from "../base/limits.ts";
import type { WireTensor, WireTensors } from "../base/tensor.ts";
import type { GenerationRequest } from "../protocol/client.ts";
import type { Lineage } from "../protocol/lineage.ts";
import type { PlanSummary } from "../shard/summary.ts";
import type { Submitted } from "./replay.ts";
import { sample } from "./sampler.ts";
import type { SessionDriver } from "./session-driver.ts";
import { type TextCodec, TextStream } from "./text.ts";

const FEED_NAMES = ["input_ids", "attention_mask", "position_ids"];

export interface GenerationReports {
  prompt(promptIds: readonly number[]): void;
  token(index: number, id: number, text: string): void;
}

/** Where a generation begins, and what its first run has to do with handles. */
export interface Beginning {
  readonly base: number;
  readonly lineage?: Lineage | undefined;
}

/**
 * Run `base` is the prompt, run `base + i` feeds token i - 1. `known`: tokens that were chosen before; their runs are
 * submitted for replay only. `from`: the first index that the page is to get; the stream goes on from there.
 */
export async function generate(
  driver: SessionDriver,
  codec: TextCodec | null,
  { base, request, lineage }: Beginning & { readonly request: GenerationRequest },
  known: readonly number[],
  from: number,
  stopped: () => boolean,
  reports: GenerationReports,
): Promise<{ runs: number; error: ErrorData | null }> {
  const { plan } = driver.info;
  const start = { base, lineage };
  const promptIds = promptOf(request, codec);
  checkDecoder(plan, driver.stateful);
  reports.prompt(promptIds);
  const ids: number[] = [];
  const stream = new TextStream(codec);
  const ends = (): boolean =>
    ids.length >= request.maxNewTokens || (ids.length > 0 && request.stopIds.includes(ids.at(-1) as number));
  for (const id of known) {
    const index = ids.push(id) - 1;
    const text = stream.push(id, ends());
    if (index >= from) reports.token(index, id, text);
  }
  driver.tokens.begin(base, request, promptIds, known);

  // All of it before the first wait, so that a driver that takes the session up knows what may have to be replayed.
  for (let run = 0; run < known.length; run++)
    void driver.submit(runOf(plan, start, run, promptIds, ids)).catch(() => undefined);
  while (!ends() && !stopped()) {
    const index = ids.length;
    const output = driver.output(base + index);
    // A wait for room may end with the session; the output's own rejection says so.
    driver.submit(runOf(plan, start, index, promptIds, ids)).catch(() => undefined);
    let id: number;
    try {
      id = sample(lastRow(plan, await output), request, index);
    } catch (error) {
      driver.tokens.end(index + 1);
      return { runs: index + 1, error: toErrorData(error) };
    }
    ids.push(id);
    driver.tokens.add(id);
    reports.token(index, id, stream.push(id, ends()));
  }
  driver.tokens.end(ids.length);
  return { runs: ids.length, error: null };
}

/** The runs of a generation that has ended, for replay. */
export function submitHistory(
  driver: SessionDriver,
  start: Beginning,
  promptIds: readonly number[],
  ids: readonly number[],
  runs: number,
): void {
  for (let run = 0; run < runs; run++) {
    driver.submit(runOf(driver.info.plan, start, run, promptIds, ids)).catch(() => undefined);
  }
}

function runOf(
  plan: PlanSummary,
  { base, lineage }: Beginning,
  index: number,
  promptIds: readonly number[],
  ids: readonly number[],
): Submitted {
  return {
    run: base + index,
    reset: index === 0,
    reply: "driver",
    // What is dropped is dropped at first; what is kept stays so all along.
    lineage: index === 0 || lineage === undefined ? lineage : { ...lineage, drop: [] },
    // Made when they are sent: of a long generation that is taken up, all runs are named and few are needed.
    feeds: () => feedsOf(plan, index, promptIds, ids),
  };
}

function feedsOf(plan: PlanSummary, index: number, promptIds: readonly number[], ids: readonly number[]): WireTensors {
  const input = index === 0 ? promptIds : [ids[index - 1] as number];
  const past = index === 0 ? 0 : promptIds.length + index - 1;
  const total = past + input.length;
  const values: Record<string, readonly number[]> = {
    input_ids: input,
    attention_mask: Array.from({ length: total }, () => 1),
    position_ids: Array.from(input, (_, at) => past + at),
  };
  return Object.fromEntries(plan.feeds.map(({ name, type }) => [name, integers(type, values[name] ?? [])]));
}

function integers(type: WireTensor["type"], values: readonly number[]): WireTensor {
  const dims = [1, values.length];
  if (type === "int64") return { type, dims, data: BigInt64Array.from(values, BigInt) };
  const data = new (arrayOf(type))(values.length);
  (data as Int32Array).set(values);
  return { type, dims, data };
}

function lastRow(plan: PlanSummary, outputs: WireTensors): ArrayLike<number> {
  const logits = outputs.logits ?? outputs[plan.results[0]?.name ?? ""];
  const vocabulary = logits?.dims.at(-1);
  if (logits === undefined || vocabulary === undefined || logits.type !== "float32") {
    throw new HoldfastError(
      "BAD_MODEL",
      "generate() needs a model with a float32 output named logits; use run() for this one.",
    );
  }
  return (logits.data as Float32Array).subarray(logits.data.length - vocabulary);
}

function promptOf({ promptIds, prompt }: GenerationRequest, codec: TextCodec | null): readonly number[] {
  const ids = promptIds ?? codec?.encode(prompt ?? "");
  if (ids === undefined)
    throw new HoldfastError(
      "BAD_OPTIONS",
      "A text prompt needs a tokenizer; pass { tokenizer } to createSession, or token ids as the prompt.",
    );
  if (ids.length > PROMPT_TOKENS_MAX)
    throw new HoldfastError("BAD_OPTIONS", `The prompt has more than ${PROMPT_TOKENS_MAX} tokens; shorten it.`);
  if (ids.length === 0) throw new HoldfastError("BAD_OPTIONS", "The prompt has no tokens; give at least one.");
  return ids;
}

function checkDecoder(plan: PlanSummary, stateful: boolean): void {
  const unknown = plan.feeds.find(({ name }) => !FEED_NAMES.includes(name));
  if (!plan.feeds.some(({ name }) => name === "input_ids") || unknown !== undefined || !stateful) {
    const what =
      unknown === undefined
        ? "input_ids and a bound KV cache"
        : `nothing but ${FEED_NAMES.join(", ")}, not ${unknown.name}`;
    throw new HoldfastError("BAD_OPTIONS", `generate() needs a decoder that takes ${what}; use run() for this model.`);
  }
}
