import { HoldfastError } from "../base/errors.ts";
import { PROGRESS_EVERY_MS } from "../base/limits.ts";
import { type DownloadNeeds, download, revalidate } from "../store/download.ts";
import { mayReadFor, urlKey } from "../store/public-url.ts";
import type { UrlRecord } from "../store/records.ts";
import { type ModelStore, type Room, wrongHash } from "./model-store.ts";
import { type Leases, withUrl } from "./store-locks.ts";

/** Bytes of the file that are there, and of the whole where that is known. */
export type OnBytes = (loaded: number, total: number | null) => void;

export interface UrlWish {
  readonly url: string;
  /** The site that asks: some addresses are not read for everybody. */
  readonly origin: string;
  /** The SHA-256 that it expects, or null. */
  readonly digest: string | null;
}

export type Stored = { readonly digest: string; readonly size: number } | { readonly refused: string };

interface Told {
  readonly url: string;
  readonly loaded: number;
  readonly total: number | null;
}

const CHANNEL = "holdfast-downloads";

/**
 * Files by URL, each downloaded once for all sites. Whoever asks while another context reads the same URL waits for it,
 * sees its progress, and goes on where it ended if it dies.
 */
export class Downloads {
  private readonly told = new BroadcastChannel(CHANNEL);
  private readonly waiting = new Map<string, Set<OnBytes>>();

  constructor(private readonly models: ModelStore) {
    this.told.onmessage = ({ data }: MessageEvent<Told>) => this.tellWaiting(data);
  }

  private tellWaiting({ url, loaded, total }: Told): void {
    for (const listener of this.waiting.get(url) ?? []) listener(loaded, total);
  }

  async fetch(wish: UrlWish, leases: Leases, room: Room, signal: AbortSignal, onBytes: OnBytes): Promise<Stored> {
    if (!mayReadFor(wish.origin, wish.url))
      return { refused: "the extension does not read this address for this site" };
    const url = urlKey(wish.url);
    const askedAt = Date.now();
    const listeners = this.waiting.get(url) ?? new Set();
    this.waiting.set(url, listeners.add(onBytes));
    const done = (): void => {
      listeners.delete(onBytes);
      if (listeners.size === 0 && this.waiting.get(url) === listeners) this.waiting.delete(url);
    };
    try {
      return await withUrl(url, signal, () => {
        done();
        return this.read({ ...wish, url }, askedAt, leases, room, signal, onBytes);
      });
    } finally {
      done();
    }
  }

  /** Only one context at a time is here with this URL. */
  private async read(
    { url, origin, digest }: UrlWish,
    askedAt: number,
    leases: Leases,
    room: Room,
    signal: AbortSignal,
    onBytes: OnBytes,
  ): Promise<Stored> {
    const needs: DownloadNeeds = {
      fetch: (input, init) => fetch(input, init),
      mayRead: (finalUrl) => mayReadFor(origin, finalUrl),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    };
    const known = await this.models.index.url(url);
    if (known !== undefined) {
      const stored = await this.known(known, askedAt, leases, needs, signal);
      if (stored !== null) {
        if ("digest" in stored) {
          if (digest !== null && stored.digest !== digest) throw wrongHash(nameOfUrl(url), digest, stored.digest);
          onBytes(stored.size, stored.size);
        }
        return stored;
      }
    }
    const file = await this.models.resumeUrl(url, room);
    let toldAt = Number.NEGATIVE_INFINITY;
    const tell = (): void => {
      const news: Told = { url, loaded: file.bytes, total: file.total };
      onBytes(news.loaded, news.total);
      // Who waits may be in this context, where no broadcast of ours arrives.
      this.tellWaiting(news);
      const now = performance.now();
      if (now - toldAt < PROGRESS_EVERY_MS) return;
      toldAt = now;
      this.told.postMessage(news);
    };
    const sink = {
      get bytes() {
        return file.bytes;
      },
      get total() {
        return file.total;
      },
      get etag() {
        return file.etag;
      },
      get lastModified() {
        return file.lastModified;
      },
      restart: (...version: Parameters<typeof file.restart>) => file.restart(...version),
      keep: () => file.keep(),
      append: async (bytes: Uint8Array) => {
        await file.append(bytes);
        tell();
      },
    };
    try {
      const fetched = await download(url, sink, needs, signal);
      if (fetched.kind === "refused") {
        // The network may be down, and what came before is as good as it was.
        if (file.bytes > 0) file.close();
        else await file.discard();
        return { refused: fetched.why };
      }
      const { bytes: size, etag, lastModified } = file;
      const stored = await this.models.settle(file, digest, { name: nameOfUrl(url), pushedBy: null }, leases);
      const now = Date.now();
      const record = { url, digest: stored, etag, lastModified, checkedAt: now, freshUntil: now + fetched.freshMs };
      await this.models.index.putUrl(record);
      return { digest: stored, size };
    } catch (error) {
      // What came so far stays for the next time, but for a model that does not fit.
      const isTooLarge = error instanceof HoldfastError && error.code === "QUOTA_EXCEEDED";
      if (isTooLarge) await file.discard();
      else file.close();
      throw error;
    }
  }

  /** What is stored of a URL, if that is still what it holds; null: read it anew. */
  private async known(
    record: UrlRecord,
    askedAt: number,
    leases: Leases,
    needs: DownloadNeeds,
    signal: AbortSignal,
  ): Promise<Stored | null> {
    const { url, digest } = record;
    // Evicted in the meantime, and with it every reason to ask.
    if (!(await this.models.claim(digest, leases))) return null;
    const size = (await this.models.index.blob(digest))?.size ?? 0;
    const now = Date.now();
    const isFresh = record.checkedAt >= askedAt || (record.checkedAt <= now && now < record.freshUntil);
    if (isFresh) return { digest, size };
    const checked = await revalidate(url, record, size, needs, signal);
    if (checked === "refused") return { refused: "its server does not let the extension read it" };
    if (checked === "changed") return null;
    await this.models.index.putUrl({ ...record, checkedAt: Date.now() });
    return { digest, size };
  }
}

function nameOfUrl(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}/${pathname.split("/").filter(Boolean).slice(-3).join("/")}`;
}
