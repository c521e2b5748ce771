import type { BrowserRecommendation } from "../../history/recommend-browser.ts";

/** Which browser type a model gets, and why. */
export interface BrowserChoice {
  readonly browserType: string;
  readonly reason: string;
}

/**
 * The type that was asked for, else the one that history recommends, where it is at hand; else what there is. Browsers that are
 * not linked are not at hand.
 */
export function chooseBrowser(
  wanted: string | undefined,
  recommended: Pick<BrowserRecommendation, "recommendedType" | "reason">,
  available: readonly [string, ...string[]],
): BrowserChoice {
  if (wanted !== undefined && available.includes(wanted))
    return { browserType: wanted, reason: `${wanted} was preferred for this type of model.` };
  const [first] = available;
  const missing = wanted === undefined ? "" : `${wanted} was preferred and is not at hand. `;
  const { recommendedType, reason } = recommended;
  if (recommendedType !== null && available.includes(recommendedType))
    return { browserType: recommendedType, reason: `${missing}${reason}` };
  return { browserType: first, reason: `${missing}${first} is what there is.` };
}
