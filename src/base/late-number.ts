import { PLATFORM, type Platform } from "./platform.ts";

/**
 * A number that grows and is told late: at once when it has grown by `step`, else after `delayMs`, once for all growth in
 * between. Messages between processes cost more than what they say.
 */
export class LateNumber {
  private value = -1;
  private told = -1;
  private cancel: (() => void) | null = null;

  constructor(
    private readonly say: (value: number) => void,
    private readonly step: number,
    private readonly delayMs: number,
    private readonly platform: Pick<Platform, "after"> = PLATFORM,
  ) {}

  grow(value: number): void {
    this.value = value;
    if (value - this.told >= this.step) this.tell();
    else this.cancel ??= this.platform.after(this.delayMs, () => this.tell());
  }

  tell(): void {
    this.cancel?.();
    this.cancel = null;
    if (this.value !== this.told) this.say(this.goAlong());
  }

  /** The number, for something else to take it along: it needs no telling of its own. */
  goAlong(): number {
    this.told = this.value;
    return this.value;
  }
}
