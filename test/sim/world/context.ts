import type { Platform } from "../../../src/base/platform.ts";
import type { Loop } from "./loop.ts";

/**
 * One execution context: a page, a frame, a service worker. What is to happen in it waits while it is busy or frozen, and
 * never happens once it is dead: code whose context died may run on here, and reaches nobody.
 */
export class Context {
  alive = true;
  /** When it died; the browser may list it for a moment longer. */
  diedAt = Number.POSITIVE_INFINITY;
  private busyUntil = 0;
  private isFrozen = false;
  private readonly backlog: (() => void)[] = [];
  private readonly ends: (() => void)[] = [];
  private pumping = false;

  constructor(
    readonly loop: Loop,
    readonly name: string,
  ) {}

  run(action: () => void): void {
    if (!this.alive) return;
    if (this.backlog.length > 0 || this.isBlocked) {
      this.backlog.push(action);
      this.pump();
    } else action();
  }

  after(ms: number, action: () => void): () => void {
    if (!this.alive) return () => undefined;
    return this.loop.after(ms, () => this.run(action));
  }

  /** A wait that ends in this context, or never. */
  wait<T>(ms: number, value: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.after(ms, () => {
        try {
          resolve(value());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Its thread is in one long computation; Infinity: in an endless one. */
  busy(ms: number): void {
    this.busyUntil = Math.max(this.busyUntil, this.loop.now + ms);
    this.pump();
  }

  get isHung(): boolean {
    return this.busyUntil === Number.POSITIVE_INFINITY;
  }

  freeze(frozen: boolean): void {
    this.isFrozen = frozen;
    this.pump();
  }

  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.diedAt = this.loop.now;
    this.backlog.length = 0;
    for (const end of this.ends.splice(0)) end();
  }

  onEnd(end: () => void): void {
    this.ends.push(end);
  }

  platform(channel: () => MessageChannel, newId: () => string): Platform {
    return {
      now: () => this.loop.now,
      wallNow: () => Math.round(this.loop.now + this.loop.wallOffset),
      after: (ms, action) => this.after(ms, action),
      channel,
      newId,
    };
  }

  private get isBlocked(): boolean {
    return this.isFrozen || this.loop.now < this.busyUntil;
  }

  private pump(): void {
    if (this.pumping || this.backlog.length === 0 || this.isFrozen || this.isHung) return;
    this.pumping = true;
    this.loop.after(Math.max(0, this.busyUntil - this.loop.now), () => {
      this.pumping = false;
      if (!this.alive) return;
      if (!this.isBlocked) this.backlog.shift()?.();
      this.pump();
    });
  }
}
