import type { Tensor } from "onnxruntime-common";
import { HoldfastError } from "../base/errors.ts";
import { DROP_LATE_MS, RESIDENT_BYTES_MAX, RESIDENT_HANDLES_MAX } from "../base/limits.ts";
import type { Platform } from "../base/platform.ts";
import {
  EVERY_KEY,
  type KeptTensor,
  type Lineage,
  outputKey,
  type ResidentKey,
  stateKey,
} from "../protocol/lineage.ts";
import type { StageMessage } from "../protocol/stage.ts";
import type { PlanSummary } from "../shard/summary.ts";
import type { ValueSpec } from "../shard/types.ts";
import { giveOutputs, type TensorLike } from "./tensors.ts";

/**
 * A handle for what stays in the session's hosts: the state after a run, or one output of it. Immutable: any number of runs
 * may start from it. Freed by `dispose()` (or `using`), with its session, and some time after it was forgotten.
 */
export class Resident {
  readonly #table: ResidentTable;

  constructor(
    table: ResidentTable,
    /** The number of the run that made it. */
    readonly run: number,
    /** The output that it is; null: it is the state after the run. */
    readonly output: string | null,
    /** What it consists of: names (of a state: of its inputs), element types, dims, bytes, and the stage that holds it. */
    readonly tensors: readonly KeptTensor[],
  ) {
    this.#table = table;
  }

  /** Whether a page got it from a session, rather than made it: what a page makes has no tensors to look at. */
  static isGenuine(value: Resident): boolean {
    return #table in value;
  }

  get bytes(): number {
    return this.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get isDisposed(): boolean {
    return !this.#table.holds(this);
  }

  /** Brings its tensors to the page, by name. Throws HANDLE_UNKNOWN, STATE_LOST, and what `run` throws. */
  read(): Promise<Record<string, Tensor>> {
    return this.#table.read(this);
  }

  /** Frees it in the hosts, soon or with the next run. Runs that were made with it are not disturbed; a second time does nothing. */
  dispose(): void {
    this.#table.dispose(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

export type Answer = Extract<StageMessage, { tensors: object }>;

/** What a run asks of handles. */
export interface Asked {
  readonly from?: Resident | undefined;
  readonly keep?: boolean | readonly string[] | undefined;
  readonly feeds?: Readonly<Record<string, Resident>>;
  /** Nothing is computed; with a handle: it is read. */
  readonly pass?: { readonly read: Resident | null };
}

/** The same by keys, which are not dropped until the run has its number. */
export interface Pinned extends Pick<Lineage, "from" | "keep" | "keepOutputs" | "feeds" | "pass"> {
  readonly keys: readonly ResidentKey[];
}

/** What a run gives that keeps its state. */
export interface KeptState {
  readonly outputs: Record<string, Tensor>;
  readonly state: Resident;
}
/** What a run gives that keeps outputs; they are not among `outputs`. */
export interface KeptOutputs<Name extends string> {
  readonly outputs: Record<string, Tensor>;
  readonly residents: Record<Name, Resident>;
}
/** Tensors of onnxruntime, or handles of kept outputs, by the name of the input. */
export type Feeds = Readonly<Record<string, TensorLike | Resident>>;

export interface ResidentNeeds {
  /** A run that computes nothing, and gives what this handle keeps. */
  pass(read: Resident | null): Promise<Record<string, Tensor>>;
  /** Such a run may be made now. */
  mayPass(): boolean;
  after: Platform["after"];
}

/** The handles of one session: the only place that knows what they stand for. */
export class ResidentTable {
  private readonly keys = new WeakMap<Resident, ResidentKey>();
  /** What the hosts keep once all runs so far are done, and its bytes; 0 until the run is answered. */
  private readonly kept = new Map<ResidentKey, number>();
  private drops: ResidentKey[] = [];
  /** Runs that wait for room, by what they go on from; and what was disposed of meanwhile. */
  private readonly pins = new Map<ResidentKey, number>();
  private readonly disposed = new Set<ResidentKey>();
  private dropping = false;
  private ended: HoldfastError | null = null;
  private readonly forgotten = new FinalizationRegistry<ResidentKey>((key) => this.drop(key));

  constructor(private readonly needs: ResidentNeeds) {}

  holds(handle: Resident): boolean {
    const key = this.keys.get(handle);
    return key !== undefined && this.kept.has(key);
  }

  read(handle: Resident): Promise<Record<string, Tensor>> {
    return this.needs.pass(handle);
  }

  /** @throws HoldfastError HANDLE_UNKNOWN, LIMIT_REACHED, BAD_FEEDS: nothing was sent, nothing is pinned. */
  pin({ from, keep = false, feeds = {}, pass }: Asked): Pinned {
    if (from?.output != null) throw badFeeds(`from takes a state, not the output "${from.output}"; feed it instead`);
    const pinned = {
      from: from === undefined ? null : this.keyOf(from),
      keep: keep === true,
      keepOutputs: typeof keep === "object" ? keep : [],
      feeds: Object.fromEntries(Object.entries(feeds).map(([input, handle]) => [input, this.keyOf(handle)])),
      pass: pass === undefined ? null : { read: pass.read === null ? null : this.keyOf(pass.read) },
    };
    this.checkRoom(pinned.keepOutputs.length + (keep === true ? 1 : 0));
    const keys = [pinned.from, pinned.pass?.read ?? null, ...Object.values(pinned.feeds)].filter((key) => key !== null);
    for (const key of keys) this.pins.set(key, (this.pins.get(key) ?? 0) + 1);
    return { ...pinned, keys };
  }

  unpin({ keys }: Pinned): void {
    for (const key of keys) {
      const left = (this.pins.get(key) ?? 1) - 1;
      if (left > 0) this.pins.set(key, left);
      else this.pins.delete(key);
      if (left === 0 && this.disposed.delete(key)) this.drop(key);
    }
  }

  private checkRoom(more: number): void {
    const bytes = [...this.kept.values()].reduce((sum, each) => sum + each, 0);
    if (more === 0 || (this.kept.size + more <= RESIDENT_HANDLES_MAX && bytes < RESIDENT_BYTES_MAX)) return;
    throw new HoldfastError(
      "LIMIT_REACHED",
      `The session keeps ${this.kept.size} handles of ${bytes} bytes; dispose() of some before keeping more.`,
    );
  }

  /** What run `run` says to the hosts; undefined: nothing. What is dropped is said once. */
  lineage(run: number, pinned: Pinned | null): Lineage | undefined {
    const { from, keep, keepOutputs, feeds, pass } = pinned ?? NOTHING;
    const { drops: drop } = this;
    const live = this.kept.size > 0;
    if (!live && drop.length === 0 && !keep && keepOutputs.length === 0 && pass === null) return undefined;
    if (keep) this.kept.set(stateKey(run), 0);
    for (const name of keepOutputs) this.kept.set(outputKey(run, name), 0);
    this.drops = [];
    return { from, keep, keepOutputs, feeds, drop, pass, live };
  }

  /** What the page gets of a run's answer. */
  give(
    { head: { run }, tensors, kept = [] }: Answer,
    keep: boolean | readonly string[],
  ): Record<string, Tensor> | KeptState | KeptOutputs<string> {
    const outputs = giveOutputs(tensors);
    if (keep === true) return { outputs, state: this.handle(run, null, kept) };
    if (keep === false) return outputs;
    const residents = keep.map((name) => [name, this.handle(run, name, kept)] as const);
    return { outputs, residents: Object.fromEntries(residents) };
  }

  /** A handle for what run `run` kept. `output` null: the state. */
  handle(run: number, output: string | null, kept: readonly KeptTensor[]): Resident {
    const key = output === null ? stateKey(run) : outputKey(run, output);
    const tensors = kept.filter(({ name }) => output === null || name === output);
    const handle = new Resident(this, run, output, tensors);
    this.kept.set(key, handle.bytes);
    this.keys.set(handle, key);
    this.forgotten.register(handle, key, handle);
    return handle;
  }

  /** The run failed, or its caller gave it up: nobody will hold what it may have kept. */
  failed(run: number): void {
    for (const key of [...this.kept.keys()]) if (Number.parseInt(key, 10) === run) this.drop(key);
  }

  dispose(handle: Resident): void {
    const key = this.keys.get(handle);
    if (key === undefined) return;
    this.keys.delete(handle);
    this.forgotten.unregister(handle);
    this.drop(key);
  }

  /** The hosts may keep what the handles of a page before this one stood for: the first run drops it. */
  takenUp(): void {
    this.drops.push(EVERY_KEY);
  }

  /** A generation ended before it could say this. */
  unsaid(lineage: Lineage | undefined): void {
    this.drops.push(...(lineage?.drop ?? []));
  }

  /** The session has ended, and why its handles are worth nothing any more. */
  end(reason: HoldfastError): void {
    this.ended = reason;
    this.kept.clear();
    this.drops = [];
  }

  private drop(key: ResidentKey): void {
    if (this.pins.has(key)) {
      this.disposed.add(key);
      return;
    }
    if (!this.kept.delete(key)) return;
    this.drops.push(key);
    this.dropSoon();
  }

  /** What nobody holds any more is dropped with the next run, or soon with one of its own. */
  dropSoon(): void {
    if (this.dropping || this.drops.length === 0) return;
    this.dropping = true;
    this.needs.after(DROP_LATE_MS, () => {
      this.dropping = false;
      if (this.drops.length > 0 && this.needs.mayPass()) this.needs.pass(null).catch(() => undefined);
    });
  }

  private keyOf(handle: Resident): ResidentKey {
    if (this.ended !== null) throw this.ended;
    const key = this.keys.get(handle);
    if (key === undefined || !this.kept.has(key)) throw unknownHandle();
    return key;
  }
}

const NOTHING: Omit<Pinned, "keys"> = { from: null, keep: false, keepOutputs: [], feeds: {}, pass: null };

/**
 * Whether a plan can do what a run asks. @throws HoldfastError BAD_OPTIONS.
 */
export function checkKeep(
  { keep = false, from }: Asked,
  reset: boolean,
  { stateInputs, results }: Pick<PlanSummary, "stateInputs" | "results">,
): void {
  const bad = (what: string): HoldfastError => new HoldfastError("BAD_OPTIONS", what);
  if (typeof keep !== "boolean" && !Array.isArray(keep))
    throw bad("keep takes true (the state after the run) or a list of outputs' names.");
  if (reset && from !== undefined) throw bad("A run starts from initial state or from a handle; give one of them.");
  if ((keep === true || from !== undefined) && stateInputs.length === 0)
    throw bad("The model keeps no state between runs (see stateBindings), so there is none to keep.");
  const unknown =
    typeof keep === "object" ? keep.find((name) => !results.some((each) => each.name === name)) : undefined;
  if (unknown !== undefined) throw bad(`There is no output "${unknown}" to keep; compare session.outputs.`);
}

/**
 * Tells feeds that are handles from tensors. Throws BAD_FEEDS where a handle cannot be what the model takes, HANDLE_UNKNOWN
 * where no session ever gave it.
 */
export function splitFeeds(
  feeds: Readonly<Record<string, TensorLike | Resident>>,
  inputs: readonly ValueSpec[],
): { readonly tensors: Record<string, TensorLike>; readonly handles: Record<string, Resident> } {
  if (typeof feeds !== "object" || feeds === null) throw badFeeds("give an object of tensors by the inputs' names");
  const tensors: Record<string, TensorLike> = {};
  const handles: Record<string, Resident> = {};
  for (const [name, feed] of Object.entries(feeds)) {
    if (!(feed instanceof Resident)) {
      tensors[name] = feed;
      continue;
    }
    if (!Resident.isGenuine(feed)) throw unknownHandle();
    const input = inputs.find((each) => each.name === name);
    const [kept] = feed.tensors;
    if (feed.output === null || kept === undefined)
      throw badFeeds(`the input "${name}" takes a kept output, not a state; give a state as { from }`);
    if (input !== undefined && input.type !== kept.type)
      throw badFeeds(`the input "${name}" takes ${input.type}, the output "${feed.output}" is ${kept.type}`);
    handles[name] = feed;
  }
  return { tensors, handles };
}

function unknownHandle(): HoldfastError {
  return new HoldfastError(
    "HANDLE_UNKNOWN",
    "The handle was disposed of, belongs to another session, or none ever gave it; keep what you go on from.",
  );
}

function badFeeds(what: string): HoldfastError {
  return new HoldfastError("BAD_FEEDS", `The feeds do not fit: ${what}.`);
}
