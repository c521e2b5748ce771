import { PROGRESS_EVERY_MS } from "../base/limits.ts";
import { RateMeter } from "../store/rate.ts";

interface Reports {
  progress(
    phase: "download" | "plan",
    loadedBytes: number,
    totalBytes: number | null,
    bytesPerSecond: number | null,
  ): void;
  now(): number;
}

/** Bytes of all files of a model together, told now and then: pieces come thousands a second. */
export class IngestProgress {
  private readonly files = new Map<string, { loaded: number; total: number | null }>();
  private readonly rate = new RateMeter();
  private toldAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly reports: Reports) {}

  file(path: string, loaded: number, total: number | null): void {
    this.files.set(path, { loaded, total });
    this.tell(false);
  }

  add(path: string, bytes: number): void {
    const file = this.files.get(path) ?? { loaded: 0, total: null };
    this.file(path, file.loaded + bytes, file.total);
  }

  /** The file is there: its size is what came, whatever was said before. */
  done(path: string, size: number | null): void {
    const loaded = size ?? this.files.get(path)?.loaded ?? 0;
    this.files.set(path, { loaded, total: loaded });
    this.tell(true);
  }

  forget(path: string): void {
    this.files.delete(path);
  }

  plan(): void {
    const { loaded, total } = this.sums();
    this.reports.progress("plan", loaded, total, null);
  }

  private tell(always: boolean): void {
    const now = this.reports.now();
    if (!always && now - this.toldAt < PROGRESS_EVERY_MS) return;
    this.toldAt = now;
    const { loaded, total } = this.sums();
    this.reports.progress("download", loaded, total, this.rate.add(loaded, now));
  }

  private sums(): { loaded: number; total: number | null } {
    let loaded = 0;
    let total: number | null = 0;
    for (const file of this.files.values()) {
      loaded += file.loaded;
      total = total === null || file.total === null ? null : total + file.total;
    }
    return { loaded, total };
  }
}
