import { HoldfastError } from "../base/errors.ts";
import type { Platform } from "../base/platform.ts";

/** Opens that the death of a bridge or service worker cut short are made again this many times. */
const OPEN_ATTEMPTS = 3;
const PAUSE_MS = 200;

/** Makes an opening again where what it needs died meanwhile, so that no page has to. Throws what the last one throws. */
export async function openAgain<T>(open: () => Promise<T>, page: Pick<Platform, "after">): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open();
    } catch (error) {
      const again =
        error instanceof HoldfastError && (error.code === "EXTENSION_DISCONNECTED" || error.code === "HOST_LOST");
      if (!again || attempt >= OPEN_ATTEMPTS) throw error;
      await new Promise<void>((resolve) => page.after(PAUSE_MS * attempt, resolve));
    }
  }
}
