import type { PlanRecord, StoreContents } from "./records.ts";

export interface Holding {
  /** Plans that sessions have, whether their hosts live or not. */
  readonly planIds: ReadonlySet<string>;
  /**
   * Digests, plan ids and URLs that a keeper holds at this moment: a model that is being taken in has no plan yet, and a
   * URL that is being read no digest.
   */
  readonly leased: ReadonlySet<string>;
}

export interface Eviction {
  readonly digests: readonly string[];
  readonly planIds: readonly string[];
  /** Downloads that nobody goes on with at this moment. */
  readonly partials: readonly string[];
}

export interface Wish {
  /** The file that room is made for; what it has already is part of `bytes`. */
  readonly key: string;
  readonly bytes: number;
  readonly limitBytes: number;
  /** The file comes from a page itself, and its origin may hold only so much of what it sent. */
  readonly push: { readonly origin: string; readonly bytesMax: number } | null;
}

/**
 * What has to go, the longest unused first, so that `bytes` fit under `limitBytes`. Null when they cannot fit: then
 * nothing goes. What is in use is never chosen, and a plan goes with the first of its blobs.
 */
export function chooseEvictions(contents: StoreContents, holding: Holding, wish: Wish): Eviction | null {
  const used = inUse(contents, holding);
  const others = contents.partials.filter(({ key }) => key !== wish.key);
  const chosen = new Set<string>();
  if (wish.push !== null) {
    const { origin, bytesMax } = wish.push;
    const pushed = contents.blobs
      .filter(({ pushedBy }) => pushedBy.includes(origin))
      .map(({ digest, size, lastUsedAt }) => ({ id: digest, bytes: size, lastUsedAt }));
    const coming = sum(others.filter((part) => part.origin === origin).map(held));
    if (!dropOldest(pushed, used, chosen, bytesMax - coming - wish.bytes)) return null;
    cascade(contents.plans, chosen);
  }
  const kept = { ...contents, partials: others };
  return trim(kept, used, chosen, wish.limitBytes - wish.bytes) ? split(kept, chosen) : null;
}

/** What goes when the limit is lowered: as much as may. */
export function chooseTrim(contents: StoreContents, holding: Holding, limitBytes: number): Eviction {
  const chosen = new Set<string>();
  trim(contents, inUse(contents, holding), chosen, limitBytes);
  return split(contents, chosen);
}

/** What goes when the user deletes these blobs; what is in use stays. */
export function chooseDeletion(contents: StoreContents, holding: Holding, digests: readonly string[]): Eviction {
  const used = inUse(contents, holding);
  const chosen = new Set(digests.filter((digest) => !used.has(digest)));
  cascade(contents.plans, chosen);
  return split(contents, chosen);
}

/** What must stay, by digest, plan id and URL. */
export function inUse({ plans, partials }: StoreContents, { planIds, leased }: Holding): Set<string> {
  const used = new Set([...planIds, ...leased]);
  for (const { planId, digests } of plans) if (used.has(planId)) for (const digest of digests) used.add(digest);
  // What a page sends cannot be gone on with, so it is there only while somebody writes to it.
  for (const { key, origin } of partials) if (origin !== null) used.add(key);
  return used;
}

interface Unit {
  readonly id: string;
  readonly bytes: number;
  readonly lastUsedAt: number;
}

function trim(contents: StoreContents, used: ReadonlySet<string>, chosen: Set<string>, limitBytes: number): boolean {
  const units = [
    ...contents.blobs.map(({ digest, size, lastUsedAt }) => ({ id: digest, bytes: size, lastUsedAt })),
    ...contents.plans.map(({ planId, bytes, lastUsedAt }) => ({ id: planId, bytes, lastUsedAt })),
    ...contents.partials.map((part) => ({ id: part.key, bytes: held(part), lastUsedAt: part.updatedAt })),
  ];
  return dropOldest(units, used, chosen, limitBytes, () => cascade(contents.plans, chosen));
}

/** Chooses the longest unused until the rest is within the limit; false when it cannot be. */
function dropOldest(
  units: readonly Unit[],
  used: ReadonlySet<string>,
  chosen: Set<string>,
  limitBytes: number,
  also = (): void => undefined,
): boolean {
  const isWithin = (): boolean => sum(units.map(({ id, bytes }) => (chosen.has(id) ? 0 : bytes))) <= limitBytes;
  for (const { id } of [...units].sort((a, b) => a.lastUsedAt - b.lastUsedAt)) {
    if (isWithin()) return true;
    if (used.has(id) || chosen.has(id)) continue;
    chosen.add(id);
    also();
  }
  return isWithin();
}

/** A plan without one of its files is of no use. */
function cascade(plans: readonly PlanRecord[], chosen: Set<string>): void {
  for (const { planId, digests } of plans) if (digests.some((digest) => chosen.has(digest))) chosen.add(planId);
}

function split({ blobs, plans, partials }: StoreContents, chosen: ReadonlySet<string>): Eviction {
  const among = (ids: readonly string[]): string[] => ids.filter((id) => chosen.has(id));
  return {
    digests: among(blobs.map(({ digest }) => digest)),
    planIds: among(plans.map(({ planId }) => planId)),
    partials: among(partials.map(({ key }) => key)),
  };
}

function held({ bytes, reservedBytes }: StoreContents["partials"][number]): number {
  return Math.max(bytes, reservedBytes);
}

function sum(bytes: readonly number[]): number {
  return bytes.reduce((total, each) => total + each, 0);
}
