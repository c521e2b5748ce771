import { HoldfastError } from "../base/errors.ts";
import type { Platform } from "../base/platform.ts";
import type { TokenizerFiles } from "../protocol/client.ts";
import type { SessionEvent } from "../protocol/events.ts";
import { parseSessionOptions } from "../protocol/session-options.ts";
import type { DriverPeer } from "./bridge-connection.ts";
import type { TokenizerSource } from "./model-registry.ts";
import { Session } from "./session.ts";

export interface ResumeSessionOptions {
  /** As with `createSession`: the page that is gone had it, and storage does not. */
  readonly tokenizer?: TokenizerSource;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: SessionEvent) => void;
}

export interface ResumeNeeds {
  readonly peer: DriverPeer;
  readonly page: Platform;
  /** The page's own, by id, and listeners of those that open. */
  readonly sessions: Map<string, Session>;
  readonly opening: Map<string, (event: SessionEvent) => void>;
  loadTokenizer(tokenizer: TokenizerSource): Promise<TokenizerFiles>;
}

/** Takes a session up that another page of the origin had: see `Pool.resumeSession`. */
export async function resumeSession(
  id: string,
  { tokenizer, signal, onEvent = () => undefined }: ResumeSessionOptions,
  { peer, page, sessions, opening, loadTokenizer }: ResumeNeeds,
): Promise<Session> {
  const files = tokenizer === undefined ? null : await loadTokenizer(tokenizer);
  if (signal?.aborted) throw aborted(signal);
  if (sessions.has(id))
    throw new HoldfastError("SESSION_IN_USE", "This page has the session already; use the one it has.");
  const openId = page.newId();
  const forget = (): void => {
    if (sessions.get(id) === session) sessions.delete(id);
  };
  const session = new Session(peer, parseSessionOptions({}), files, onEvent, forget, page);
  session.name = id;
  // Registered before the answer comes: the first ports arrive with it.
  sessions.set(id, session);
  opening.set(openId, onEvent);
  let abort = (): void => undefined;
  const stopped = new Promise<never>((_, reject) => {
    abort = () => reject(aborted(signal as AbortSignal));
  });
  signal?.addEventListener("abort", abort, { once: true });
  const resumed = peer.call("resume", { openId, sessionId: id, tokenizer: files });
  try {
    session.resumed(await Promise.race([resumed, stopped]));
    return session;
  } catch (error) {
    forget();
    peer.emit("abortOpen", { openId });
    // What was taken up all the same is left as it was found.
    resumed.then(() => peer.emit("leave", { sessionId: id })).catch(() => undefined);
    throw error;
  } finally {
    opening.delete(openId);
    signal?.removeEventListener("abort", abort);
  }
}

function aborted(signal: AbortSignal): HoldfastError {
  return new HoldfastError("ABORTED", "The session was aborted before it opened.", { cause: signal.reason });
}
