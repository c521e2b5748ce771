import { HoldfastError, messageOf } from "../base/errors.ts";
import { componentsOfRepository, type RepositoryComponent } from "../shard/repository.ts";
import { isPicked, namesIn, type Picked } from "./picked.ts";
import { type HubModel, hubEndpoint, type ModelSource } from "./source.ts";

/** What holds several models: a folder, its files, or a Hugging Face repository. */
export type RepositorySource = Picked | { readonly files: Picked } | Omit<HubModel, "file" | "integrity">;

const NAMED_MAX = 10;

export function isRepository(value: unknown): value is RepositorySource {
  if (typeof value !== "object" || value === null) return false;
  if (isPicked("files" in value ? value.files : value)) return true;
  return "repo" in value && typeof value.repo === "string";
}

/**
 * The models of a repository by what they do, in the order of a run: `encoder`, `decoder`, `visionEncoder`, `detector` … A file
 * whose name tells nothing is called by its name.
 * @param variant which weights ("fp16", "q4" …); left out: the plain ones where there are any
 * @throws HoldfastError BAD_OPTIONS when there is no model, or one lacks the variant; MODEL_FETCH_FAILED.
 */
export async function modelsOf(
  source: RepositorySource,
  variant: string | null,
  signal?: AbortSignal,
): Promise<Record<string, ModelSource>> {
  const picked = isPicked(source) ? source : "files" in source ? source.files : null;
  const paths = picked === null ? await listHub(source as HubModel, signal) : await namesIn(picked);
  const components = componentsOfRepository(paths);
  if (components.length === 0) throw bad("There is no .onnx file in it; name the models one by one.");
  const named = new Map<string, ModelSource>();
  for (const component of components) {
    const file = fileOf(component, variant);
    named.set(
      nameOf(component, components),
      picked === null ? { ...(source as HubModel), file } : { files: picked, file },
    );
  }
  return Object.fromEntries(named);
}

function fileOf({ role, path, variants }: RepositoryComponent, variant: string | null): string {
  if (variant === null) return path;
  const found = Object.hasOwn(variants, variant) ? variants[variant] : undefined;
  if (found !== undefined) return found;
  const known = Object.keys(variants).map((name) => (name === "" ? "the plain one" : name));
  throw bad(`The ${role} has no variant ${variant}; there is ${known.slice(0, NAMED_MAX).join(", ")}.`);
}

/** Two files of one role are told apart by their names. */
function nameOf({ role, path }: RepositoryComponent, all: readonly RepositoryComponent[]): string {
  const isAlone = all.filter((other) => other.role === role).length === 1;
  const name = isAlone ? role : (path.split("/").at(-1) ?? path).replace(/\.onnx$/i, "");
  return isAlone ? name.replace(/ (\w)/g, (_, letter: string) => letter.toUpperCase()) : name;
}

/** The files of a revision, as the hub's API lists them (https://huggingface.co/docs/hub/api). */
async function listHub(
  { repo, revision = "main", endpoint, headers }: HubModel,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const url = `${hubEndpoint(repo, endpoint)}/api/models/${repo}/revision/${encodeURIComponent(revision)}`;
  try {
    const response = await fetch(url, { ...(headers && { headers }), ...(signal && { signal }) });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const { siblings } = (await response.json()) as { siblings?: readonly { rfilename?: unknown }[] };
    return (siblings ?? []).flatMap(({ rfilename }) => (typeof rfilename === "string" ? [rfilename] : []));
  } catch (error) {
    if (signal?.aborted) throw new HoldfastError("ABORTED", "The sessions were aborted.", { cause: signal.reason });
    throw new HoldfastError(
      "MODEL_FETCH_FAILED",
      `The files of ${repo} could not be listed (${messageOf(error)}). Check the id, or name the models one by one.`,
      { cause: error },
    );
  }
}

function bad(message: string): HoldfastError {
  return new HoldfastError("BAD_OPTIONS", message);
}
