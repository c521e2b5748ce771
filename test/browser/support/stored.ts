/** What lies in the model store, seen from a page of the extension. */
import type { StoreStatus } from "../../../src/protocol/popup.ts";
import type { Browser, Page } from "../harness/fixtures.ts";

export interface StoredFiles {
  /** Name (its digest, as the store has it) and the SHA-256 of what really is in it. */
  readonly blobs: readonly { readonly name: string; readonly size: number; readonly sha256: string }[];
  readonly partial: readonly number[];
  readonly plans: number;
  readonly status: StoreStatus;
}

/** Works on a page of the extension that is closed afterwards. */
export async function onExtensionPage<T>(browser: Browser, work: (page: Page) => Promise<T>): Promise<T> {
  const page = await browser.newPage(browser.extensionUrl("popup/consent.html"));
  try {
    return await work(page);
  } finally {
    await page.close();
  }
}

export function storedFiles(browser: Browser): Promise<StoredFiles> {
  return onExtensionPage(browser, (page) =>
    page.evaluateWithin(60_000, async () => {
      const root = await navigator.storage.getDirectory();
      const list = async (name: string) => {
        const directory = await root.getDirectoryHandle(name, { create: true });
        const files: { name: string; file: File | null }[] = [];
        for await (const [entry, handle] of directory.entries())
          files.push({ name: entry, file: handle instanceof FileSystemFileHandle ? await handle.getFile() : null });
        return files;
      };
      const blobs = [];
      for (const { name, file } of await list("blobs")) {
        const hash = await crypto.subtle.digest("SHA-256", (await file?.arrayBuffer()) ?? new ArrayBuffer());
        const sha256 = [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        blobs.push({ name, size: file?.size ?? 0, sha256 });
      }
      const partial = (await list("partial")).map(({ file }) => file?.size ?? 0);
      const plans = (await list("plans")).length;
      const status = (await chrome.runtime.sendMessage({ holdfast: "store", params: null })) as StoreStatus;
      return { blobs, partial, plans, status };
    }),
  );
}

/** The user's own words in the popup. */
export function setQuota(browser: Browser, bytes: number): Promise<void> {
  return onExtensionPage(browser, (page) =>
    page.evaluate(async (wanted) => {
      await chrome.runtime.sendMessage({ holdfast: "setStoreQuota", params: { bytes: wanted } });
    }, bytes),
  );
}

export function deleteModel(browser: Browser, digests: readonly string[]): Promise<void> {
  return onExtensionPage(browser, (page) =>
    page.evaluate(async (wanted) => {
      await chrome.runtime.sendMessage({ holdfast: "deleteModel", params: { digests: wanted } });
    }, digests),
  );
}
