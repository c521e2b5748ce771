import { loadSha256, type Sha256 } from "../../base/digest.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { BrowserNews, KnownBrowsers, OriginBrowser, OriginNews, OriginStatus } from "../../protocol/origin.ts";
import { applyBrowserDelta, type BrowserDelta, browserDigest } from "../../state/browser-delta.ts";
import type { BrowserContent } from "../../state/browser-record.ts";

/** What a page has of its site's browsers: brought up to date by what has changed, and verified by digest. */
export class BrowserCopies {
  private copies: ReadonlyMap<string, BrowserContent> = new Map();
  private turn: Promise<unknown> = Promise.resolve();
  private hash: Promise<Sha256 | null> | null = null;

  /** Asks for what is new; for everything where what comes does not fit. */
  status(ask: (known: KnownBrowsers) => Promise<OriginNews>): Promise<OriginStatus> {
    // Each answer continues the one before.
    const done = this.turn.then(() => this.refresh(ask));
    this.turn = done.catch(() => undefined);
    return done;
  }

  private async refresh(ask: (known: KnownBrowsers) => Promise<OriginNews>): Promise<OriginStatus> {
    // A page whose policy forbids WebAssembly has no digests, and is always told everything.
    this.hash ??= loadSha256().catch(() => null);
    const sha256 = await this.hash;
    if (sha256 === null) return this.take(await ask({}), null);
    const known = Array.from(this.copies, ([id, content]) => [id, browserDigest(content, sha256)] as const);
    const news = await ask(Object.fromEntries(known));
    try {
      return this.take(news, sha256);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== "STATE_LOST") throw error;
      return this.take(await ask({}), sha256);
    }
  }

  private take(news: OriginNews, sha256: Sha256 | null): OriginStatus {
    const copies = new Map<string, BrowserContent>();
    const browsers = news.browsers.map(({ content, ...browser }): OriginBrowser => {
      const own = this.contentOf(browser.browserId, content, sha256);
      copies.set(browser.browserId, own);
      return { ...browser, ...own };
    });
    this.copies = copies;
    return { ...news, browsers };
  }

  private contentOf(browserId: string, news: BrowserNews["content"], sha256: Sha256 | null): BrowserContent {
    if ("whole" in news) {
      // JSON by nature: the pool's journal keeps it.
      const whole = news.whole as BrowserContent;
      if (sha256 === null || browserDigest(whole, sha256) === news.digest) return whole;
      throw new HoldfastError("STATE_LOST", `The state of ${browserId} was damaged on its way; ask again.`);
    }
    const copy = this.copies.get(browserId);
    if (copy !== undefined && sha256 !== null) return applyBrowserDelta(copy, news.delta as BrowserDelta, sha256);
    throw new HoldfastError("STATE_LOST", `There is no state of ${browserId} here that the delta could continue.`);
  }
}
