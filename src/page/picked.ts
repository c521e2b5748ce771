import { HoldfastError } from "../base/errors.ts";
import { checkPath, type ModelFile, type OpenModel } from "./source.ts";

/** A folder, or the files of one, as a file dialog or a drop gives them. */
export type Picked = FileSystemDirectoryHandle | FileList | readonly File[];

/** What the user picked; `file` names the model file when there are several. */
export type PickedSource = Picked | { readonly files: Picked; readonly file?: string };

/** Finds a file by its path in the folder. */
type Find = (path: string) => Promise<File | null>;

const LISTED_MAX = 10;

export function isPickedSource(value: unknown): value is PickedSource {
  if (typeof value !== "object" || value === null) return false;
  return isPicked("files" in value ? value.files : value);
}

/** The model file that the user picked, and beside it the external data that it names. */
export async function openPicked(source: PickedSource): Promise<OpenModel> {
  const given = isPicked(source) ? { files: source } : source;
  const { names, find } = isDirectory(given.files) ? await folder(given.files) : list([...given.files]);
  const path = "file" in given && given.file !== undefined ? given.file : choose(names);
  const graph = await find(path);
  if (graph === null) throw new HoldfastError("BAD_OPTIONS", `The folder has no file "${path}".`);
  const beside = path.split("/").slice(0, -1);
  const file = (at: string, blob: File): ModelFile => ({ path: at, content: { kind: "blob", blob }, digest: null });
  return {
    name: path,
    files: [file("", graph)],
    sibling: async (name) => {
      checkPath(name);
      const found = await find([...beside, name].join("/"));
      if (found !== null) return file(name, found);
      throw new HoldfastError("BAD_MODEL", `The model keeps weights in "${name}", which the folder lacks; add it.`);
    },
  };
}

/** The paths in a folder where repositories keep their models, or of the files. */
export async function namesIn(picked: Picked): Promise<string[]> {
  return (isDirectory(picked) ? await folder(picked) : list([...picked])).names;
}

export function isPicked(value: unknown): value is Picked {
  if (isDirectory(value) || (typeof FileList !== "undefined" && value instanceof FileList)) return true;
  return Array.isArray(value) && value.length > 0 && value.every((each) => each instanceof File);
}

function isDirectory(value: unknown): value is FileSystemDirectoryHandle {
  return typeof FileSystemDirectoryHandle !== "undefined" && value instanceof FileSystemDirectoryHandle;
}

/** Files of a picked folder carry their path in it, its own name first. */
function list(files: readonly File[]): { names: string[]; find: Find } {
  const byPath = new Map(
    files.map((file) => [(file.webkitRelativePath ?? "").split("/").slice(1).join("/") || file.name, file] as const),
  );
  return { names: [...byPath.keys()], find: async (path) => byPath.get(path) ?? null };
}

async function folder(root: FileSystemDirectoryHandle): Promise<{ names: string[]; find: Find }> {
  const names: string[] = [];
  // Where repositories keep their models: at the top, or in `onnx`.
  for await (const [name, handle] of root.entries()) {
    if (handle.kind === "file") names.push(name);
    else if (name === "onnx")
      for await (const inner of (handle as FileSystemDirectoryHandle).keys()) names.push(`onnx/${inner}`);
  }
  const find: Find = async (path) => {
    const folders = path.split("/");
    const last = folders.pop() ?? "";
    try {
      let at = root;
      for (const name of folders) at = await at.getDirectoryHandle(name);
      return await (await at.getFileHandle(last)).getFile();
    } catch (error) {
      if (error instanceof DOMException && error.name === "NotFoundError") return null;
      throw error;
    }
  };
  return { names, find };
}

function choose(names: readonly string[]): string {
  const models = names.filter((name) => /\.onnx$/i.test(name));
  const chosen = models.length === 1 ? models[0] : models.find((name) => /^(onnx\/)?model\.onnx$/.test(name));
  if (chosen !== undefined) return chosen;
  const found = models.length === 0 ? "no .onnx file" : `several: ${models.slice(0, LISTED_MAX).join(", ")}`;
  throw new HoldfastError("BAD_OPTIONS", `The folder has ${found}. Name the model with { files, file: "…" }.`);
}
