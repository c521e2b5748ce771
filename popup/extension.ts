import browser from "webextension-polyfill";
import type { PopupCalls } from "../src/protocol/popup.ts";

/** Asks the service worker; it is woken when it sleeps. */
export async function ask<Call extends keyof PopupCalls>(
  call: Call,
  params: PopupCalls[Call]["params"],
): Promise<PopupCalls[Call]["result"]> {
  return await browser.runtime.sendMessage({ holdfast: call, params });
}
