import type { PoolStatus, PopupCalls } from "../../../src/protocol/popup.ts";
import type { Browser, Page } from "../harness/fixtures.ts";

/** The popup's page in a tab: what the user sees of the pool, and may do to it. */
export class Popup {
  private constructor(private readonly page: Page) {}

  static async open(browser: Browser): Promise<Popup> {
    return new Popup(await browser.newPage(browser.extensionUrl("popup/popup.html")));
  }

  status(): Promise<PoolStatus> {
    return this.call("status", null);
  }

  /** What the pool answers one of the popup's calls. */
  call<M extends keyof PopupCalls>(holdfast: M, params: PopupCalls[M]["params"]): Promise<PopupCalls[M]["result"]> {
    return this.page.evaluate((message) => chrome.runtime.sendMessage(message) as Promise<PopupCalls[M]["result"]>, {
      holdfast,
      params,
    });
  }

  close(): Promise<void> {
    return this.page.close();
  }
}

/** One look at the pool. The popup is not left open: a page of the extension would be there for nothing. */
export async function statusOf(browser: Browser): Promise<PoolStatus> {
  const popup = await Popup.open(browser);
  try {
    return await popup.status();
  } finally {
    await popup.close();
  }
}

/** What is there of the pool's hosts, counted from outside: host tabs, sandbox frames, offscreen documents. */
export async function hostTargets(browser: Browser): Promise<string[]> {
  const urls = (await browser.targets()).map(({ url }) => url);
  return urls.filter((url) => url.startsWith(browser.extensionUrl("offscreen/"))).sort();
}
