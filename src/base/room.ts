/** Holds new runs back while too much is under way. */
export class Room {
  private readonly waiting: (() => void)[] = [];

  /** `isFull` is asked again after every `look`. Resolves also when `signal` was aborted. */
  async wait(isFull: () => boolean, signal?: AbortSignal | undefined): Promise<void> {
    const wake = (): void => this.look();
    signal?.addEventListener("abort", wake, { once: true });
    while (!signal?.aborted && isFull()) await new Promise<void>((resolve) => this.waiting.push(resolve));
    signal?.removeEventListener("abort", wake);
  }

  look(): void {
    for (const resume of this.waiting.splice(0)) resume();
  }
}
