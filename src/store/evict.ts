import type { PlanRecord, StoreContents } from "./records.ts";

export interface Holding {
  /** Plans that sessions have, whether their hosts live or not. */
  readonly planIds: ReadonlySet<string>;
  /** Digests and plan ids that a keeper holds at this moment: a model that is being taken in has no plan yet. */
  readonly leased: ReadonlySet<string>;
}

export interface Eviction {
  readonly digests: readonly string[];
  readonly planIds: readonly string[];
}

/** A page's wish to send bytes itself; its origin may hold only so much of what it alone can read. */
export interface Push {
  readonly origin: string;
  readonly bytesMax: number;
}

const NOTHING: Eviction = { digests: [], planIds: [] };

/**
 * What has to go, the longest unused first, so that `bytes` more fit under `limitBytes`. Null when they cannot fit: then
 * nothing goes. What is in use is never chosen, and a plan goes with the first of its blobs.
 */
export function chooseEvictions(
  contents: StoreContents,
  holding: Holding,
  wish: { readonly key: string; readonly bytes: number; readonly limitBytes: number; readonly push: Push | null },
): Eviction | null {
  const used = inUse(contents, holding);
  const own = (key: string): boolean => key !== wish.key;
  const chosen = new Set<string>();
  const reserved = (of: StoreContents["partials"]): number =>
    of.filter(({ key }) => own(key)).reduce((sum, part) => sum + Math.max(part.reservedBytes, part.bytes), 0);

  if (wish.push !== null) {
    const { origin, bytesMax } = wish.push;
    const pushed = contents.blobs.filter(({ pushedBy }) => pushedBy.includes(origin));
    const coming = reserved(contents.partials.filter((part) => part.origin === origin && part.key.startsWith("push:")));
    let over = pushed.reduce((sum, { size }) => sum + size, 0) + coming + wish.bytes - bytesMax;
    for (const blob of oldestFirst(pushed)) {
      if (over <= 0) break;
      if (used.has(blob.digest)) continue;
      chosen.add(blob.digest);
      over -= blob.size;
    }
    if (over > 0) return null;
  }

  cascade(contents.plans, chosen);
  const limit = wish.limitBytes - reserved(contents.partials) - wish.bytes;
  return dropOldest(contents, used, chosen, limit) ? split(contents, chosen) : null;
}

/** What goes when the limit is lowered: as much as may. */
export function chooseTrim(contents: StoreContents, holding: Holding, limitBytes: number): Eviction {
  const chosen = new Set<string>();
  dropOldest(contents, inUse(contents, holding), chosen, limitBytes);
  return split(contents, chosen);
}

/** Chooses the longest unused until the rest is within the limit; false when it cannot be. */
function dropOldest(
  contents: StoreContents,
  used: ReadonlySet<string>,
  chosen: Set<string>,
  limitBytes: number,
): boolean {
  const units = [
    ...contents.blobs.map(({ digest, size, lastUsedAt }) => ({ id: digest, bytes: size, lastUsedAt })),
    ...contents.plans.map(({ planId, bytes, lastUsedAt }) => ({ id: planId, bytes, lastUsedAt })),
  ];
  const isWithin = (): boolean =>
    units.reduce((sum, { id, bytes }) => (chosen.has(id) ? sum : sum + bytes), 0) <= limitBytes;
  for (const { id } of oldestFirst(units)) {
    if (isWithin()) return true;
    if (used.has(id) || chosen.has(id)) continue;
    chosen.add(id);
    cascade(contents.plans, chosen);
  }
  return isWithin();
}

/** What goes when the user deletes these blobs; what is in use stays. */
export function chooseDeletion(contents: StoreContents, holding: Holding, digests: readonly string[]): Eviction {
  const used = inUse(contents, holding);
  const chosen = new Set(digests.filter((digest) => !used.has(digest)));
  if (chosen.size === 0) return NOTHING;
  cascade(contents.plans, chosen);
  return split(contents, chosen);
}

/** Digests and plan ids that must stay. */
export function inUse({ plans }: Pick<StoreContents, "plans">, { planIds, leased }: Holding): Set<string> {
  const used = new Set([...planIds, ...leased]);
  for (const { planId, digests } of plans) if (used.has(planId)) for (const digest of digests) used.add(digest);
  return used;
}

/** A plan without one of its files is of no use. */
function cascade(plans: readonly PlanRecord[], chosen: Set<string>): void {
  for (const { planId, digests } of plans) if (digests.some((digest) => chosen.has(digest))) chosen.add(planId);
}

function split({ blobs, plans }: StoreContents, chosen: ReadonlySet<string>): Eviction {
  return {
    digests: blobs.filter(({ digest }) => chosen.has(digest)).map(({ digest }) => digest),
    planIds: plans.filter(({ planId }) => chosen.has(planId)).map(({ planId }) => planId),
  };
}

function oldestFirst<T extends { readonly lastUsedAt: number }>(entries: readonly T[]): T[] {
  return [...entries].sort((a, b) => a.lastUsedAt - b.lastUsedAt);
}
