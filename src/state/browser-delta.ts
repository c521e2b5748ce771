import type { Sha256 } from "../base/digest.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BrowserContent } from "./browser-record.ts";
import { contentOf, entryOf } from "./browser-reducer.ts";
import { canonicalJson, digestOf, type Json, type JsonObject } from "./canonical.ts";

const PARTS = ["models", "operations", "resources", "metrics"] as const;
type Part = (typeof PARTS)[number];

/** What leads from one browser state to another, and the digests of both. */
export interface BrowserDelta {
  readonly from: string;
  readonly to: string;
  readonly status: BrowserContent["status"] | null;
  readonly put: Readonly<Partial<Record<Part, JsonObject>>>;
  readonly remove: Readonly<Partial<Record<Part, readonly string[]>>>;
}

/** Hex SHA-256 of the state that a synchronisation carries: status, models, operations, resources, metrics. */
export function browserDigest(content: BrowserContent, sha256: Sha256): string {
  return digestOf(contentOf(content), sha256);
}

/** Only what differs: an entry that changed is carried whole, one that is equal not at all. */
export function diffBrowser(from: BrowserContent, to: BrowserContent, sha256: Sha256): BrowserDelta {
  const put: Partial<Record<Part, JsonObject>> = {};
  const remove: Partial<Record<Part, readonly string[]>> = {};
  for (const part of PARTS) {
    const changed = Object.entries(to[part] as JsonObject).filter(
      ([key, value]) => !isEqual(entryOf(from[part] as JsonObject, key), value),
    );
    const gone = Object.keys(from[part]).filter((key) => !Object.hasOwn(to[part], key));
    if (changed.length > 0) put[part] = Object.fromEntries(changed);
    if (gone.length > 0) remove[part] = gone;
  }
  return {
    from: browserDigest(from, sha256),
    to: browserDigest(to, sha256),
    status: from.status === to.status ? null : to.status,
    put,
    remove,
  };
}

/** Throws STATE_LOST when the delta does not start from this state, or does not lead where it says. */
export function applyBrowserDelta(content: BrowserContent, delta: BrowserDelta, sha256: Sha256): BrowserContent {
  if (browserDigest(content, sha256) !== delta.from)
    throw new HoldfastError("STATE_LOST", "The state is not the one that this delta continues; send the whole state.");
  const parts = PARTS.map((part) => {
    const gone = new Set(delta.remove[part]);
    const kept = Object.entries(content[part] as JsonObject).filter(([key]) => !gone.has(key));
    return [part, Object.fromEntries([...kept, ...Object.entries(delta.put[part] ?? {})])];
  });
  const next = { status: delta.status ?? content.status, ...Object.fromEntries(parts) } as BrowserContent;
  if (browserDigest(next, sha256) !== delta.to)
    throw new HoldfastError("STATE_LOST", "The delta was damaged on its way; send the whole state.");
  return next;
}

function isEqual(left: Json | undefined, right: Json): boolean {
  return left === right || (left !== undefined && canonicalJson(left) === canonicalJson(right));
}
