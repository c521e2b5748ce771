import { byteLengthOf, zeros } from "../base/bytes.ts";
import { SAMPLE_BYTES_MAX } from "../base/limits.ts";
import type { WireTensor, WireTensors } from "../base/tensor.ts";
import type { CheckpointRecord, CheckpointTensor, RunSample, VersionId, VersionRecord } from "../protocol/host.ts";
import { EVERY_KEY, type ResidentKey } from "../protocol/lineage.ts";
import type { StateBinding } from "../shard/types.ts";
import { layRows, rowsFrom, snapshotOf } from "../state/delta.ts";
import { freeAll } from "./device-data.ts";
import { writtenRows } from "./written-rows.ts";

/** Rows by input, of states that have an append axis. */
type RowCounts = ReadonlyMap<string, number>;
const NONE: RowCounts = new Map();

/** One state of a sequence, or one kept output. Immutable: who goes on from it shares its tensors. */
interface Version {
  /** null: the initial state. */
  readonly id: VersionId | null;
  readonly tensors: WireTensors;
  /** Rows that something lies in; behind them a buffer of fixed length is empty. */
  readonly used: RowCounts;
  readonly origin: Origin;
}

/** A version's place in the lineage. Outlives the tensors where a descendant may be stored as what it has beyond them. */
interface Origin {
  readonly id: VersionId | null;
  parent: Line | null;
  /** Handles that keep it. */
  handles: number;
  isStored: boolean;
}

/** From an origin down: the rows of it that are still as they were, the first ones of each state. */
interface Line {
  readonly origin: Origin;
  readonly same: RowCounts;
}

/** The tensors that stay in the host between runs: the newest state (KV cache, recurrent state), and what handles keep. */
export class Residents {
  private newest: Version;
  private readonly held = new Map<ResidentKey, Version>();
  /** The run of the newest record; null: the next one is complete in itself. */
  private recorded: number | null = null;
  /** Records that storage has not confirmed, in order, and what takes each back. */
  private readonly unconfirmed: { readonly run: number; takeBack(): void }[] = [];
  private readonly appends: boolean;
  /** Versions whose tensors lie on the host's device. */
  private readonly onDevice = new Set<Version>();
  /** The first run that went on from the newest record. */
  private sample: RunSample | null = null;

  /** `shapes`: what the shard's graph tells the shapes of. */
  constructor(
    private readonly bindings: readonly StateBinding[],
    private readonly shapes: readonly string[] = [],
  ) {
    this.newest = initialState(bindings);
    this.appends = bindings.some(({ appendAxis }) => appendAxis !== null);
  }

  /** There is something to store. */
  get any(): boolean {
    return this.bindings.length > 0 || this.held.size > 0;
  }

  /** The state as inputs of the next run. */
  inputs(): WireTensors {
    return this.newest.tensors;
  }

  /** Bytes of all that is held; what handles share counts once. */
  get bytes(): number {
    return bytesOf(new Set([this.newest, ...this.held.values()]));
  }

  get keptBytes(): number {
    return bytesOf(new Set(this.held.values()));
  }

  get keptCount(): number {
    return this.held.size;
  }

  /** Back to initial state. What handles keep stays. */
  reset(): void {
    this.newest = initialState(this.bindings);
    this.freeUnheld();
  }

  /** The next run starts from what this handle keeps. False: nothing is kept under this key. */
  branch(key: ResidentKey): boolean {
    const version = this.held.get(key);
    if (version === undefined) return false;
    this.newest = version;
    this.freeUnheld();
    return true;
  }

  /** Takes the new state from a run's outputs; `inputs`: what the run was given. */
  take(outputs: WireTensors, run: number, inputs: WireTensors = {}): void {
    if (this.bindings.length === 0) return;
    const tensors: Record<string, WireTensor> = {};
    const [same, used] = [new Map<string, number>(), new Map<string, number>()];
    const values = this.shapes.length === 0 ? outputs : { ...inputs, ...outputs };
    this.remember(inputs);
    for (const binding of this.bindings) {
      const { input, output, appendAxis } = binding;
      const tensor = outputs[output];
      if (tensor === undefined) throw new Error(`the graph gave no output ${output}`);
      tensors[input.name] = tensor;
      if (appendAxis === null) continue;
      const rows = writtenRows(binding, tensor, this.newest.used.get(input.name) ?? 0, values, this.shapes);
      same.set(input.name, rows.from);
      used.set(input.name, rows.used);
    }
    this.newest = versionOf(String(run), tensors, used, storable({ origin: this.newest.origin, same }));
    if (Object.values(tensors).some(({ device }) => device !== undefined)) this.onDevice.add(this.newest);
    this.freeUnheld();
  }

  /** Memory of a device is not collected. */
  private freeUnheld(): void {
    if (this.onDevice.size === 0) return;
    const held = new Set([this.newest, ...this.held.values()]);
    for (const version of this.onDevice) {
      if (held.has(version)) continue;
      this.onDevice.delete(version);
      freeAll(version.tensors);
    }
  }

  /** What a standby can practise with: real values, since others may lead an operator astray. */
  private remember(inputs: WireTensors): void {
    const { newest, recorded } = this;
    if (recorded === null || !newest.origin.isStored || newest.id !== String(recorded)) return;
    const own = new Set(this.bindings.map(({ input }) => input.name));
    const given = Object.fromEntries(Object.entries(inputs).filter(([name]) => !own.has(name)));
    if (byteLengthOf(given) <= SAMPLE_BYTES_MAX) this.sample = { after: recorded, inputs: given };
  }

  /** Keeps the newest state under this key. Returns its tensors. */
  keep(key: ResidentKey): WireTensors {
    this.hold(key, this.newest);
    return this.newest.tensors;
  }

  /** Keeps an output under this key. */
  keepOutput(key: ResidentKey, name: string, tensor: WireTensor): void {
    this.hold(key, versionOf(key, { [name]: tensor }, NONE, null));
  }

  /** What is kept under this key; undefined: nothing. */
  read(key: ResidentKey): WireTensors | undefined {
    return this.held.get(key)?.tensors;
  }

  drop(key: ResidentKey): void {
    if (key === EVERY_KEY) for (const each of [...this.held.keys()]) this.drop(each);
    const version = this.held.get(key);
    if (version === undefined) return;
    version.origin.handles--;
    this.held.delete(key);
    this.freeUnheld();
  }

  private hold(key: ResidentKey, version: Version): void {
    if (this.held.has(key)) return;
    version.origin.handles++;
    this.held.set(key, version);
  }

  /** What must be stored so that all that is held after `run` can come back: of each version what no record has yet. */
  checkpoint(run: number): CheckpointRecord {
    const versions: VersionRecord[] = [];
    const here = new Set<VersionId>();
    const before = this.recorded;
    const parents = new Map<Origin, Line | null>();
    let continues = false;
    for (const version of new Set([...this.held.values(), this.newest])) {
      if (version.id === null) continue;
      if (version.origin.isStored) {
        continues ||= !here.has(version.id);
        continue;
      }
      const base = this.appends ? storedBefore(version.origin) : null;
      const baseId = base?.origin.id ?? null;
      continues ||= baseId !== null && !here.has(baseId);
      const tensors = this.beyond(version, base?.same ?? NONE);
      versions.push({ version: version.id, base: baseId, tensors });
      here.add(version.id);
      parents.set(version.origin, version.origin.parent);
      version.origin.isStored = true;
      version.origin.parent = null;
    }
    const previous = continues ? this.recorded : null;
    this.recorded = run;
    const takeBack = (): void => {
      for (const [origin, parent] of parents) Object.assign(origin, { isStored: false, parent });
      this.recorded = before;
    };
    this.unconfirmed.push({ run, takeBack });
    const kept = Array.from(this.held, ([key, { id }]) => ({ key, version: id }));
    const { sample } = this;
    this.sample = null;
    return { run, previous, state: this.newest.id, kept, versions, ...(sample && { sample }) };
  }

  /** The record of this run is in storage. */
  confirm(run: number): void {
    const at = this.unconfirmed.findIndex((record) => record.run === run);
    if (at >= 0) this.unconfirmed.splice(0, at + 1);
  }

  /** The record of this run did not come into storage: those after it lead nowhere either, and the next one takes all along. */
  unstored(run: number): void {
    const at = this.unconfirmed.findIndex((record) => record.run === run);
    if (at < 0) return;
    for (const { takeBack } of this.unconfirmed.splice(at).reverse()) takeBack();
  }

  /** A version's tensors; where rows are appended, only those after the ones that are its base's. */
  private beyond({ tensors, used }: Version, same: RowCounts): CheckpointTensor[] {
    return Object.entries(tensors).map(([input, tensor]) => {
      const { appendAxis = null, written } = this.bindings.find((binding) => binding.input.name === input) ?? {};
      if (appendAxis === null) return { input, appendAxis, tensor: snapshotOf(tensor) };
      const from = same.get(input) ?? 0;
      const rows = rowsFrom(tensor, appendAxis, from, used.get(input));
      if (written === undefined) return { input, appendAxis, tensor: rows };
      return { input, appendAxis, at: { from, size: tensor.dims[appendAxis] ?? 0 }, tensor: rows };
    });
  }

  /** Puts back exactly what the last record of a chain (oldest first) says is held; an empty chain is the initial state. */
  restore(records: readonly CheckpointRecord[]): void {
    this.held.clear();
    this.reset();
    this.sample = null;
    this.unconfirmed.length = 0;
    const last = records.at(-1);
    this.recorded = last?.run ?? null;
    if (last === undefined) return;
    const parts = new Map(records.flatMap(({ versions }) => versions.map((part) => [part.version, part] as const)));
    const made = new Map<VersionId | null, Version>([[null, this.newest]]);
    const version = (id: VersionId | null): Version => {
      const known = made.get(id) ?? joined(id as VersionId, parts);
      made.set(id, known);
      if (known.id !== null) known.origin.isStored = true;
      return known;
    };
    for (const { key, version: id } of last.kept) this.hold(key, version(id));
    this.newest = version(last.state);
  }
}

function versionOf(id: VersionId | null, tensors: WireTensors, used: RowCounts, parent: Line | null): Version {
  return { id, tensors, used, origin: { id, parent, handles: 0, isStored: false } };
}

/**
 * Zeros, with no rows where rows are appended, unless that is to a buffer of fixed length; an unnamed or symbolic dimension is 1
 * (one sequence).
 */
function initialState(bindings: readonly StateBinding[]): Version {
  const tensors = bindings.map(({ input, appendAxis, written }) => {
    const dims = (input.dims ?? []).map((dim, axis) => {
      const isFixed = typeof dim === "number";
      if (axis === appendAxis && !(isFixed && written !== undefined)) return 0;
      return isFixed ? dim : 1;
    });
    return [input.name, zeros(input.type, dims)] as const;
  });
  return versionOf(null, Object.fromEntries(tensors), NONE, null);
}

/** The nearest in a line of ancestors that is stored or may come to be: nobody will ever store the others. */
function storable(line: Line): Line | null {
  let at: Line | null = line;
  while (at !== null && !at.origin.isStored && at.origin.handles === 0) at = further(at);
  return at;
}

function storedBefore({ parent }: Origin): Line | null {
  let at = parent;
  while (at !== null && !at.origin.isStored) at = further(at);
  return at;
}

/** One step back in a line: rows are the same if they were at every step. */
function further({ origin: { parent }, same }: Line): Line | null {
  if (parent === null) return null;
  const both = Array.from(parent.same, ([input, rows]) => [input, Math.min(rows, same.get(input) ?? 0)] as const);
  return { origin: parent.origin, same: new Map(both) };
}

/** A version from its parts: what is replaced as it is, what is appended joined once. */
function joined(id: VersionId, parts: ReadonlyMap<VersionId, VersionRecord>): Version {
  const line: VersionRecord[] = [];
  for (let at: VersionId | null = id; at !== null; ) {
    const part = parts.get(at);
    // A line that comes back to itself would have no end.
    if (part === undefined || line.includes(part)) throw new Error(`no stored state for version ${at}`);
    line.unshift(part);
    at = part.base;
  }
  const last = line.at(-1) as VersionRecord;
  const used = new Map<string, number>();
  const tensors = last.tensors.map(({ input, appendAxis, at, tensor }) => {
    if (appendAxis === null) return [input, tensor] as const;
    const parts = line.flatMap((part) => part.tensors.filter((each) => each.input === input));
    const whole = layRows(parts, appendAxis);
    used.set(input, at === undefined ? (whole.dims[appendAxis] ?? 0) : at.from + (tensor.dims[appendAxis] ?? 0));
    return [input, whole] as const;
  });
  return versionOf(id, Object.fromEntries(tensors), used, null);
}

function bytesOf(versions: Iterable<Version>): number {
  let bytes = 0;
  for (const { tensors } of versions) bytes += byteLengthOf(tensors);
  return bytes;
}
