import { HoldfastError } from "../base/errors.ts";

const STORE = "holdfast-store";
const LEASE = "holdfast-lease:";
const URL_READ = "holdfast-url:";

// Web Locks end with the context that holds them, however it dies: nothing is ever left locked.

/** Files and index change together under this lock. */
export function withStore<T>(work: () => Promise<T>): Promise<T> {
  return navigator.locks.request(STORE, work) as Promise<T>;
}

/** One context at a time reads a URL; the next one finds what it left. */
export async function withUrl<T>(url: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return (await navigator.locks.request(`${URL_READ}${url}`, { signal }, work)) as T;
  } catch (error) {
    if (signal.aborted && !(error instanceof HoldfastError))
      throw new HoldfastError("ABORTED", "The session was aborted while it opened.", { cause: signal.reason });
    throw error;
  }
}

/** Files that may not be evicted while this context lives and has not let them go. */
export class Leases {
  private readonly letGo = new Set<() => void>();

  /** Resolves once the file (a digest or a plan's id) is held. */
  hold(id: string): Promise<void> {
    return new Promise((held, failed) => {
      navigator.locks
        .request(`${LEASE}${id}`, { mode: "shared" }, () => {
          held();
          return new Promise<void>((release) => this.letGo.add(release));
        })
        .catch(failed);
    });
  }

  release(): void {
    for (const release of this.letGo) release();
    this.letGo.clear();
  }
}

/** What any context holds now: digests and plan ids with a lease, URLs that are read. */
export async function leased(): Promise<Set<string>> {
  const { held = [] } = await navigator.locks.query();
  const named = (prefix: string): string[] =>
    held.flatMap(({ name = "" }) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
  return new Set([...named(LEASE), ...named(URL_READ)]);
}
