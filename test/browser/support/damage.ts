/** One bit of what the extension has stored, turned over in the browser's own database. */
import type { Browser, Page } from "../harness/fixtures.ts";

/** The newest record under a key prefix, and what of it is to be damaged. */
export interface Damage {
  readonly database: "holdfast-checkpoints" | "holdfast-journal";
  readonly store: "checkpoints" | "journal" | "snapshot" | "head";
  /** Of records whose key is a list: how it begins. */
  readonly prefix?: readonly (string | number)[];
  /** How many records before the newest; all: each of them. */
  readonly before?: number | "all";
  readonly field: string;
  /** Where in a text or in bytes, as a share of its length. */
  readonly at?: number;
}

/** A page of the extension that asks nobody anything, and so wakes nobody. */
export function insidePage(browser: Browser): Promise<Page> {
  return browser.newPage(browser.extensionUrl("manifest.json"));
}

/**
 * Turns one bit over: of a text one of a letter, of bytes one of a byte, of a number the last one. A damaged key moves the
 * record. Gives the keys of what was damaged.
 */
export function damage(inside: Page, wanted: Damage): Promise<unknown[]> {
  return inside.evaluate(async ({ database, store: name, prefix, before = 0, field, at = 0.5 }) => {
    const answer = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const flipped = (value: unknown): unknown => {
      if (typeof value === "number") return value ^ 1;
      if (typeof value === "string") {
        const place = Math.min(value.length - 1, Math.floor(value.length * at));
        return value.slice(0, place) + String.fromCharCode(value.charCodeAt(place) ^ 1) + value.slice(place + 1);
      }
      if (!(value instanceof Uint8Array) || value.length === 0) throw new Error(`${field} holds nothing to damage`);
      const bytes = value.slice();
      const place = Math.min(bytes.length - 1, Math.floor(bytes.length * at));
      bytes[place] = (bytes[place] ?? 0) ^ 0x10;
      return bytes;
    };
    const db = await answer(indexedDB.open(database));
    const store = db.transaction(name, "readwrite").objectStore(name);
    const range = prefix === undefined ? null : IDBKeyRange.bound([...prefix], [...prefix, []]);
    const keys = (await answer(store.getAllKeys(range))).reverse();
    const damaged = before === "all" ? keys : keys.slice(before, before + 1);
    for (const key of damaged) {
      const record = (await answer(store.get(key))) as Record<string, unknown>;
      const path = store.keyPath === null ? [] : [store.keyPath].flat();
      const changed = { ...record, [field]: flipped(record[field]) };
      if (path.includes(field)) await answer(store.delete(key));
      await answer(path.length === 0 ? store.put(changed, key) : store.put(changed));
    }
    db.close();
    return damaged;
  }, wanted);
}
