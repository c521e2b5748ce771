import { HoldfastError } from "../base/errors.ts";
import { MODELS_REGISTERED_MAX } from "../base/limits.ts";
import type { ModelSource } from "./source.ts";

/** URL of tokenizer.json, or its contents. */
export type TokenizerSource = string | URL | { readonly json: object; readonly config?: object };

export interface ModelOptions {
  /** What the model is for, in the words of model repositories: "text-generation", "feature-extraction", … */
  readonly task?: string;
  /** For sessions of the model that are created without one. */
  readonly tokenizer?: TokenizerSource;
}

export interface RegisteredModel {
  readonly name: string;
  readonly source: ModelSource;
  readonly task: string | null;
  readonly tokenizer: TokenizerSource | null;
}

const NAME_CHARS_MAX = 200;
const NAME = /^[A-Za-z0-9][\w.@+-]*(?:\/[\w.@+-]+)*$/;
const TASK = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const TASK_CHARS_MAX = 100;

/** One page's names for models. A name is no URL and never becomes one: it is looked up before anything is fetched. */
export class ModelRegistry {
  private readonly models = new Map<string, RegisteredModel>();

  /** A name that is registered again means the new source from then on; open sessions keep theirs. */
  register(name: string, source: ModelSource, options: ModelOptions = {}): void {
    checkName(name);
    if (!isText(source) && (typeof source !== "object" || source === null))
      throw bad(`The source of ${name} must be a URL, bytes, or { graph, externalData }.`);
    if (typeof options !== "object" || options === null)
      throw bad(`The options of ${name} must be { task, tokenizer }; leave out what there is none of.`);
    const { task = null, tokenizer = null } = options;
    if (task !== null && (typeof task !== "string" || task.length > TASK_CHARS_MAX || !TASK.test(task)))
      throw bad(`The task of ${name} must be a name such as "text-generation".`);
    if (tokenizer !== null && !isTokenizer(tokenizer))
      throw bad(`The tokenizer of ${name} must be the URL of a tokenizer.json or { json, config }.`);
    if (!this.models.has(name) && this.models.size >= MODELS_REGISTERED_MAX)
      throw new HoldfastError("LIMIT_REACHED", `A page may register ${MODELS_REGISTERED_MAX} models; register fewer.`);
    this.models.set(name, { name, source, task, tokenizer });
  }

  /** Null: a source as it is, whoever knows what to make of it. */
  find(model: ModelSource): RegisteredModel | null {
    return typeof model === "string" ? (this.models.get(model) ?? null) : null;
  }
}

function checkName(name: unknown): asserts name is string {
  const rule = `a name of letters, digits and . _ - @ + with parts joined by /, at most ${NAME_CHARS_MAX} characters`;
  if (typeof name !== "string" || name.length > NAME_CHARS_MAX || !NAME.test(name) || /(^|\/)\.+(\/|$)/.test(name))
    throw bad(`${JSON.stringify(String(name).slice(0, 100))} is no name for a model: give ${rule}.`);
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value.trim() !== "";
}

function isTokenizer(value: unknown): boolean {
  if (isText(value) || value instanceof URL) return true;
  const { json, config = {} } = (value ?? {}) as { json?: unknown; config?: unknown };
  return [json, config].every((part) => typeof part === "object" && part !== null);
}

function bad(message: string): HoldfastError {
  return new HoldfastError("BAD_OPTIONS", message);
}
