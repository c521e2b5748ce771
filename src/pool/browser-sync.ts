import { loadSha256, type Sha256 } from "../base/digest.ts";
import type { KnownBrowsers, OriginBrowser, OriginNews, OriginStatus } from "../protocol/origin.ts";
import { browserDigest, diffBrowser } from "../state/browser-delta.ts";
import type { BrowserContent } from "../state/browser-record.ts";
import { contentOf } from "../state/browser-reducer.ts";

/** Of how many pages it is remembered what they were told. */
const PAGES_MAX = 64;

/**
 * Tells pages the states of their site's browsers as what has changed since they were told last. What a page says that it has
 * is held against that by digest: a page, or a service worker, that has forgotten it gets the whole state.
 */
export class BrowserSync {
  private hash: Promise<Sha256> | null = null;
  /** By bridge and browser. */
  private readonly told = new Map<string, ReadonlyMap<string, BrowserContent>>();

  /** @param known what the page has */
  async news(bridgeId: string, known: KnownBrowsers, status: OriginStatus): Promise<OriginNews> {
    // Made of the journal's records, which are JSON.
    const browsers = status.browsers as readonly (OriginBrowser & BrowserContent)[];
    this.hash ??= loadSha256();
    const sha256 = await this.hash;
    const before = this.told.get(bridgeId);
    this.told.delete(bridgeId);
    this.told.set(bridgeId, new Map(browsers.map((browser) => [browser.browserId, contentOf(browser)])));
    const [oldest] = this.told.keys();
    if (oldest !== undefined && this.told.size > PAGES_MAX) this.told.delete(oldest);
    const news = browsers.map((browser) => {
      const { browserId, browserType, sessionId, stage, lastHeartbeat } = browser;
      const told = before?.get(browserId);
      const to = contentOf(browser);
      const isKnown =
        told !== undefined && Object.hasOwn(known, browserId) && known[browserId] === browserDigest(told, sha256);
      const content = isKnown
        ? { delta: diffBrowser(told, to, sha256) }
        : { whole: to, digest: browserDigest(to, sha256) };
      return { browserId, browserType, sessionId, stage, lastHeartbeat, content };
    });
    return { ...status, browsers: news };
  }
}
