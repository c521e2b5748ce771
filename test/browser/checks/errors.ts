import type { Page } from "../harness/fixtures.ts";

/** What became of a promise in the page: the error as a page's program sees it, or null when it resolved. */
export interface Rejection {
  /** A `HoldfastError`, not something that merely looks like one. */
  readonly typed: boolean;
  readonly code: string;
  readonly category: string;
  readonly message: string;
}

declare global {
  interface Window {
    rejection(promise: Promise<unknown>): Promise<Rejection | null>;
  }
}

/** Puts `window.rejection` into a test page. */
export async function installRejection(page: Page): Promise<void> {
  await page.evaluate(() => {
    window.rejection = (promise) =>
      promise.then(
        () => null,
        (error: { code?: string; category?: string; message?: string }) => ({
          typed: error instanceof window.holdfast.HoldfastError,
          code: error.code ?? "",
          category: error.category ?? "",
          message: error.message ?? String(error),
        }),
      );
  });
}
