import type { Loop } from "./loop.ts";

/** One way of messages from one context to another: they arrive late, and in order. */
export class Lane {
  private lastAt = 0;

  constructor(
    private readonly loop: Loop,
    private readonly delayMs: () => number,
  ) {}

  send(arrive: () => void): void {
    this.lastAt = Math.max(this.lastAt, this.loop.now + this.delayMs());
    this.loop.after(this.lastAt - this.loop.now, arrive);
  }
}
