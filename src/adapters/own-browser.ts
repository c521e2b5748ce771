import { browserIdentity } from "../history/browser-identity.ts";
import type { BrowserIdentity } from "../protocol/host.ts";

interface Hints {
  readonly userAgentData?: { readonly brands?: readonly { readonly brand: string; readonly version: string }[] };
  readonly deviceMemory?: number;
}

/** The browser this code runs in, page or worker. */
export function ownBrowser(): BrowserIdentity {
  const { userAgent, userAgentData } = navigator as Navigator & Hints;
  return browserIdentity({ userAgent, brands: userAgentData?.brands });
}

/** GiB of the device, rounded by the browser; null where it does not say. */
export function deviceMemoryGiB(): number | null {
  return (navigator as Navigator & Hints).deviceMemory ?? null;
}
