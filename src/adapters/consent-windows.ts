const WIDTH = 420;
const HEIGHT = 480;

/** The consent page in a small window: one a site, answered by the user's click or by closing it. */
export class ConsentWindows {
  private readonly open = new Map<string, { windowId: number | null; answer(allowed: boolean | null): void }>();

  ask(origin: string): Promise<boolean | null> {
    return new Promise((resolve) => {
      const entry = { windowId: null as number | null, answer: resolve };
      this.open.set(origin, entry);
      windowFor(chrome.runtime.getURL(`popup/consent.html?origin=${encodeURIComponent(origin)}`)).then(
        (windowId) => {
          entry.windowId = windowId;
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

/** A user may think for longer than a service worker lives: the window that an earlier one opened still asks. */
async function windowFor(url: string): Promise<number | null> {
  const [asking] = await chrome.runtime.getContexts({
    contextTypes: ["TAB" as chrome.runtime.ContextType],
    documentUrls: [url],
  });
  if (asking !== undefined && asking.windowId >= 0) {
    await chrome.windows.update(asking.windowId, { focused: true });
    return asking.windowId;
  }
  const made = await chrome.windows.create({ url, type: "popup", width: WIDTH, height: HEIGHT, focused: true });
  return made?.id ?? null;
}
