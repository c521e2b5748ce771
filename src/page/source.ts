import { HoldfastError } from "../base/errors.ts";
import { digestOfIntegrity } from "../base/integrity.ts";
import { isPickedSource, openPicked, type PickedSource } from "./picked.ts";

export type Bytes = Uint8Array | ArrayBuffer;

/** The SHA-256 a file must have ("sha256-" and base64, or hex): of the model file, or by path ("" is the model file). */
export type Integrity = string | Readonly<Record<string, string>>;

/** A file that only the page may read: its headers stay in the page. */
export interface RemoteFile {
  readonly url: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly integrity?: Integrity;
}

/** A model of a Hugging Face repository, or of a server with the same addresses. */
export interface HubModel {
  /** `org/name`. */
  readonly repo: string;
  /** A branch, tag or commit; `main` by default. */
  readonly revision?: string;
  /** Path in the repository; `onnx/model.onnx` by default. */
  readonly file?: string;
  /** `https://huggingface.co` by default. */
  readonly endpoint?: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly integrity?: Integrity;
}

/** One file. A stream is read once. */
export type FileSource = string | URL | Bytes | Blob | ReadableStream<Uint8Array> | RemoteFile;

/** Graph and external data apart (keys: the paths the graph names). */
export interface SplitModel {
  readonly graph: FileSource;
  /** Left out: looked for beside the graph's URL. */
  readonly externalData?: Readonly<Record<string, FileSource>>;
  readonly integrity?: Integrity;
}

/**
 * A model: its URL, a repository id (`org/name`), its bytes, a stream of them, a file or folder that the user picked, or
 * graph and external data apart. External data of a URL or folder is found by what the graph names.
 */
export type ModelSource = FileSource | HubModel | SplitModel | PickedSource;

export type Content =
  | { readonly kind: "url"; readonly url: URL; readonly headers: Readonly<Record<string, string>> | null }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "blob"; readonly blob: Blob }
  | { readonly kind: "stream"; readonly stream: ReadableStream<Uint8Array> };

export interface ModelFile {
  /** "" for the model file, else the external data's path. */
  readonly path: string;
  readonly content: Content;
  /** 64 hex digits of a SHA-256. */
  readonly digest: string | null;
}

/** A model whose source was read and found valid. */
export interface OpenModel {
  /** What the popup calls it. */
  readonly name: string;
  readonly files: readonly ModelFile[];
  /** Finds external data that the graph names; null: what was given is all. */
  readonly sibling: ((path: string) => Promise<ModelFile>) | null;
}

const HUB = "https://huggingface.co";
const HUB_FILE = "onnx/model.onnx";
const REPO = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** @throws HoldfastError BAD_OPTIONS, before anything is fetched. */
export async function openSource(model: ModelSource): Promise<OpenModel> {
  if (typeof model === "string" && REPO.test(model) && !/\.(onnx|ort|pb)$/i.test(model))
    return openRemote(hubFile({ repo: model }));
  if (isFileSource(model)) return isRemote(model) ? openRemote(model) : openSingle(model);
  if (isPickedSource(model)) return openPicked(model);
  if (typeof model === "object" && model !== null) {
    if ("repo" in model) return openRemote(hubFile(model));
    if ("graph" in model) return openSplit(model);
  }
  throw bad(
    "A model is a URL, a repository id, bytes, a stream, a file or folder, or { graph, externalData }; give one of them.",
  );
}

function openSingle(source: Exclude<FileSource, string | URL | RemoteFile>): OpenModel {
  const content = contentOf(source);
  const name = source instanceof File ? source.name : "model given as bytes";
  return { name, files: [{ path: "", content, digest: null }], sibling: null };
}

function openRemote(source: string | URL | RemoteFile): OpenModel {
  const integrity = integrityOf(source);
  const content = contentOf(source);
  const file = (path: string, at: Content): ModelFile => ({ path, content: at, digest: digestFor(integrity, path) });
  return {
    name: content.kind === "url" ? nameOf(content.url) : "",
    files: [file("", content)],
    sibling: async (path) => file(path, siblingOf(content, path)),
  };
}

function openSplit({ graph, externalData, integrity = {} }: SplitModel): OpenModel {
  if (!isFileSource(graph)) throw bad("graph must be a URL, bytes, a stream or a file.");
  if (externalData === undefined && isRemote(graph)) return openRemote(graph);
  if (externalData !== undefined && (typeof externalData !== "object" || externalData === null))
    throw bad("externalData must be an object of the paths that the graph names.");
  const files = [["", graph] as const, ...Object.entries(externalData ?? {})].map(([path, source]): ModelFile => {
    if (!isFileSource(source)) throw bad(`The external data "${path}" must be a URL, bytes, a stream or a file.`);
    const own = integrityOf(source) ?? integrity;
    return { path, content: contentOf(source), digest: digestFor(own, typeof own === "string" ? "" : path) };
  });
  const name = isRemote(graph) ? openRemote(graph).name : openSingle(graph).name;
  return { name, files, sibling: null };
}

/** The address of a repository's file, as the hub has it: `resolve/` answers with the file or leads to it. */
function hubFile({ repo, revision = "main", file = HUB_FILE, endpoint, headers, integrity }: HubModel): RemoteFile {
  const base = hubEndpoint(repo, endpoint);
  if (typeof revision !== "string" || revision === "" || typeof file !== "string" || file === "")
    throw bad("revision and file must be texts: a branch, tag or commit, and a path in the repository.");
  checkPath(file);
  return {
    url: `${base}/${repo}/resolve/${encodeURIComponent(revision)}/${encodePath(file)}`,
    ...(headers === undefined ? {} : { headers }),
    ...(integrity === undefined ? {} : { integrity }),
  };
}

/** Without a slash at its end. @throws HoldfastError BAD_OPTIONS for what is no repository id, or no URL. */
export function hubEndpoint(repo: unknown, endpoint: string | URL = HUB): string {
  if (typeof repo !== "string" || !REPO.test(repo))
    throw bad(`A repository id is "org/name"; it is "${String(repo).slice(0, 100)}".`);
  return urlOf(endpoint).href.replace(/\/$/, "");
}

function siblingOf(content: Content, path: string): Content {
  checkPath(path);
  if (content.kind !== "url") throw bad(`The external data "${path}" was not given.`);
  return { ...content, url: new URL(encodePath(path), content.url) };
}

function contentOf(source: FileSource): Content {
  if (source instanceof Uint8Array) return { kind: "bytes", bytes: source };
  if (source instanceof ArrayBuffer) return { kind: "bytes", bytes: new Uint8Array(source) };
  if (source instanceof Blob) return { kind: "blob", blob: source };
  if (source instanceof ReadableStream) return { kind: "stream", stream: source };
  if (typeof source === "string" || source instanceof URL) return { kind: "url", url: urlOf(source), headers: null };
  return { kind: "url", url: urlOf(source.url), headers: headersOf(source.headers) };
}

function isFileSource(value: unknown): value is FileSource {
  if (typeof value === "string") return true;
  return (
    [URL, Uint8Array, ArrayBuffer, Blob, ReadableStream].some((type) => value instanceof type) || isRemoteFile(value)
  );
}

function isRemote(source: FileSource): source is string | URL | RemoteFile {
  return typeof source === "string" || source instanceof URL || isRemoteFile(source);
}

function isRemoteFile(value: unknown): value is RemoteFile {
  return typeof value === "object" && value !== null && "url" in value;
}

function urlOf(url: string | URL): URL {
  try {
    return new URL(url, location.href);
  } catch {
    throw bad(`"${String(url).slice(0, 200)}" is no URL.`);
  }
}

function headersOf(headers: RemoteFile["headers"]): Readonly<Record<string, string>> | null {
  if (headers === undefined) return null;
  try {
    return Object.fromEntries(new Headers(headers));
  } catch {
    throw bad("headers must be an object of header names and values.");
  }
}

function integrityOf(source: FileSource): Integrity | undefined {
  return isRemoteFile(source) ? source.integrity : undefined;
}

function digestFor(integrity: Integrity | undefined, path: string): string | null {
  if (typeof integrity === "string") return path === "" ? digestOfIntegrity(integrity) : null;
  if (integrity === undefined) return null;
  if (typeof integrity !== "object" || integrity === null) throw bad("integrity must be a text, or one by path.");
  const text = Object.hasOwn(integrity, path) ? integrity[path] : undefined;
  if (text !== undefined && typeof text !== "string") throw bad(`integrity of "${path}" must be a text.`);
  return text === undefined ? null : digestOfIntegrity(text);
}

/** A graph names its external data by a path within the model's own folder; anything else would lead elsewhere. */
export function checkPath(path: string): void {
  const parts = path.split("/");
  const isPlain = parts.every((part) => part !== "" && part !== ".." && part !== ".") && !/[\\:]/.test(path);
  if (!isPlain) throw new HoldfastError("BAD_MODEL", `"${path.slice(0, 200)}" is no path within the model's folder.`);
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

function nameOf(url: URL): string {
  return url.pathname.split("/").slice(-3).join("/");
}

function bad(message: string): HoldfastError {
  return new HoldfastError("BAD_OPTIONS", message);
}
