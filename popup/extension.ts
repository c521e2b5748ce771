import type { PopupCalls } from "../src/protocol/popup.ts";

/** Asks the service worker; it is woken when it sleeps. */
export async function ask<Call extends keyof PopupCalls>(
  call: Call,
  params: PopupCalls[Call]["params"],
): Promise<PopupCalls[Call]["result"]> {
  return await chrome.runtime.sendMessage({ holdfast: call, params });
}
