import { Tensor } from "onnxruntime-common";
import { HoldfastError } from "../base/errors.ts";
import type { EncodedText } from "../protocol/client.ts";
import type { GenerateOptions, RunOptions } from "./run-options.ts";
import type { Session } from "./session.ts";
import type { TensorLike } from "./tensors.ts";

/** What a model is run with: tensors by name, or a text as `text` or `inputText`, which its task makes into feeds. */
export type Inputs = Readonly<Record<string, TensorLike | string>>;

export interface InferOptions extends RunOptions, Omit<GenerateOptions, "signal"> {}

/** What came of it. */
export interface Inference {
  /** By name, as `session.run` gives them; of a generation there are none. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Of a generation: what it adds to the text, and the ids of that. */
  readonly text: string | null;
  readonly ids: readonly number[] | null;
}

/** What a text becomes, by the task's name in model repositories. */
const TASKS: Readonly<Record<string, "generation" | "feeds">> = {
  "text-generation": "generation",
  "feature-extraction": "feeds",
  "sentence-similarity": "feeds",
  "text-classification": "feeds",
  "token-classification": "feeds",
  "zero-shot-classification": "feeds",
  "fill-mask": "feeds",
};

const TEXT_INPUTS = ["text", "inputText"];

/** What tokens can give a model, by the usual names of its inputs. */
const FROM_TOKENS: Readonly<Record<string, (tokens: EncodedText) => readonly number[]>> = {
  input_ids: ({ ids }) => ids,
  attention_mask: ({ attentionMask }) => attentionMask,
  token_type_ids: ({ tokenTypeIds }) => tokenTypeIds,
  position_ids: ({ ids }) => ids.map((_, at) => at),
};

/**
 * Runs a model on tensors, or on a text by its task. Without a task, a model that keeps state generates, and any other is fed.
 * @throws HoldfastError BAD_FEEDS, BAD_OPTIONS for a task that takes no text or a session without a tokenizer, and as
 * `session.run` and `session.generate` do.
 */
export async function infer(
  session: Session,
  inputs: Inputs,
  task: string | null,
  encode: (text: string) => Promise<EncodedText>,
  options: InferOptions = {},
): Promise<Inference> {
  const { text, feeds } = textOf(inputs, session);
  if (text === null) return { outputs: await session.run(feeds, options), text: null, ids: null };
  if (kindOf(task, session) === "generation") {
    if (Object.keys(feeds).length > 0)
      throw new HoldfastError("BAD_FEEDS", "A generation takes the text alone; leave the tensors out.");
    return generated(session, text, options);
  }
  const fromText = textFeeds(await encode(text), session);
  // A text is no continuation of the one before it.
  const outputs = await session.run({ ...fromText, ...feeds }, { reset: true, ...options });
  return { outputs, text: null, ids: null };
}

/** Whole numbers as the model's inputs ask for them: dtype int64 or int32, dims [1, tokens]. */
export function textFeeds(tokens: EncodedText, { inputs }: Pick<Session, "inputs">): Record<string, Tensor> {
  const asked = inputs.flatMap(({ name, type }) => {
    const values = Object.hasOwn(FROM_TOKENS, name) ? FROM_TOKENS[name]?.(tokens) : undefined;
    return values === undefined ? [] : [[name, whole(type, values)] as const];
  });
  return Object.fromEntries(asked);
}

function whole(type: string, values: readonly number[]): Tensor {
  const dims = [1, values.length];
  if (type === "int32") return new Tensor("int32", Int32Array.from(values), dims);
  return new Tensor("int64", BigInt64Array.from(values, BigInt), dims);
}

async function generated(session: Session, prompt: string, options: InferOptions): Promise<Inference> {
  const ids: number[] = [];
  let text = "";
  for await (const token of session.generate(prompt, options)) {
    ids.push(token.id);
    text += token.text;
  }
  return { outputs: {}, text, ids };
}

/** A text, unless the model itself has an input of that name. */
function textOf(
  inputs: Inputs,
  session: Session,
): { readonly text: string | null; readonly feeds: Readonly<Record<string, TensorLike>> } {
  const feeds: Record<string, TensorLike> = {};
  let text: string | null = null;
  for (const [name, value] of Object.entries(inputs)) {
    if (typeof value !== "string") feeds[name] = value;
    else if (TEXT_INPUTS.includes(name) && text === null) text = value;
    else {
      const names = session.inputs.map((input) => input.name).join(", ");
      throw new HoldfastError("BAD_FEEDS", `"${name}" is no text input; give one text, or tensors for ${names}.`);
    }
  }
  return { text, feeds };
}

function kindOf(task: string | null, { plan }: Session): "generation" | "feeds" {
  if (task === null) return plan.stateInputs.length > 0 ? "generation" : "feeds";
  const kind = Object.hasOwn(TASKS, task) ? TASKS[task] : undefined;
  if (kind !== undefined) return kind;
  const known = Object.keys(TASKS).join(", ");
  throw new HoldfastError(
    "BAD_OPTIONS",
    `No text is made into feeds for the task ${task}; give tensors, or one of ${known}.`,
  );
}
