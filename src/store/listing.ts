import type { StoredModel } from "../protocol/popup.ts";
import { type Holding, inUse } from "./evict.ts";
import type { StoreContents } from "./records.ts";

/** The models of the store as a person sees them: the files of one plan together, files without a plan each alone. */
export function listModels(contents: StoreContents, holding: Holding): StoredModel[] {
  const used = inUse(contents, holding);
  const blobs = new Map(contents.blobs.map((blob) => [blob.digest, blob]));
  const models = new Map<string, { name: string; digests: readonly string[] }>();
  for (const { name, digests } of contents.plans) models.set(digests.join(), { name, digests });
  const covered = new Set(contents.plans.flatMap(({ digests }) => digests));
  for (const { digest, name } of contents.blobs)
    if (!covered.has(digest)) models.set(digest, { name, digests: [digest] });
  const list = [...models.values()].map(({ name, digests }) => {
    const files = digests.flatMap((digest) => blobs.get(digest) ?? []);
    return {
      name,
      digests,
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      lastUsedAt: Math.max(0, ...files.map(({ lastUsedAt }) => lastUsedAt)),
      inUse: digests.some((digest) => used.has(digest)),
      sentBy: [...new Set(files.flatMap(({ pushedBy }) => pushedBy))],
    };
  });
  return list.sort((a, b) => b.lastUsedAt - a.lastUsedAt);
}

/** All bytes that the store holds or has promised. */
export function usedBytes({ blobs, plans, partials }: StoreContents): number {
  const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
  return (
    sum(blobs.map(({ size }) => size)) +
    sum(plans.map(({ bytes }) => bytes)) +
    sum(partials.map(({ bytes, reservedBytes }) => Math.max(bytes, reservedBytes)))
  );
}
