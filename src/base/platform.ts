import { newId } from "./ids.ts";

/** What code that runs anywhere needs of the context around it; tests and the simulator give their own. */
export interface Platform {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Epoch milliseconds; somebody may set this clock. */
  wallNow(): number;
  /** Does it once after so many milliseconds, unless what is returned is called before. */
  after(ms: number, action: () => void): () => void;
  channel(): MessageChannel;
  newId(): string;
}

/** The browser's own. */
export const PLATFORM: Platform = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after: (ms, action) => {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
  channel: () => new MessageChannel(),
  newId,
};
