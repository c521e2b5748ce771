const WIDTH = 420;
const HEIGHT = 480;

/** The consent page in a small window: one a site, answered by the user's click or by closing it. */
export class ConsentWindows {
  private readonly open = new Map<string, { windowId: number | null; answer(allowed: boolean | null): void }>();

  ask(origin: string): Promise<boolean | null> {
    return new Promise((resolve) => {
      const entry = { windowId: null as number | null, answer: resolve };
      this.open.set(origin, entry);
      const url = chrome.runtime.getURL(`popup/consent.html?origin=${encodeURIComponent(origin)}`);
      chrome.windows.create({ url, type: "popup", width: WIDTH, height: HEIGHT, focused: true }).then(
        (window) => {
          entry.windowId = window?.id ?? null;
        },
        () => this.answer(origin, null),
      );
    });
  }

  answer(origin: string, allowed: boolean | null): void {
    const entry = this.open.get(origin);
    this.open.delete(origin);
    entry?.answer(allowed);
  }

  windowClosed(windowId: number): void {
    for (const [origin, entry] of this.open) if (entry.windowId === windowId) this.answer(origin, null);
  }
}
