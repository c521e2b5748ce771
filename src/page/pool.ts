import { HoldfastError, messageOf } from "../base/errors.ts";
import type { EventHandlers } from "../base/rpc.ts";
import type { DriverEvents, OwnSession, TokenizerFiles } from "../protocol/client.ts";
import type { SessionEvent } from "../protocol/events.ts";
import type { SessionOptions } from "../protocol/options.ts";
import { parseSessionOptions } from "../protocol/session-options.ts";
import { BridgeConnection, type BridgeEvents, type DriverPeer, PAGE, type PageNeeds } from "./bridge-connection.ts";
import { type ModelOptions, ModelRegistry, type TokenizerSource } from "./model-registry.ts";
import { sendModel } from "./send.ts";
import { Session } from "./session.ts";
import { type ModelSource, type OpenModel, openSource } from "./source.ts";

/** Opens that the death of a bridge or service worker cut short are made again this many times. */
const OPEN_ATTEMPTS = 3;

export interface CreateSessionOptions extends Partial<Omit<SessionOptions, "shards" | "executionProviders">> {
  readonly shards?: number | undefined;
  readonly executionProviders?: SessionOptions["executionProviders"] | undefined;
  /** URL of tokenizer.json, or its contents; needed for text prompts. Left out: the registered model's. */
  readonly tokenizer?: TokenizerSource;
  readonly signal?: AbortSignal;
  /** Events from the start of loading on; the same as `session.on` afterwards. */
  readonly onEvent?: (event: SessionEvent) => void;
}

export interface ResumeSessionOptions {
  /** As with `createSession`: the page that is gone had it, and storage does not. */
  readonly tokenizer?: TokenizerSource;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: SessionEvent) => void;
}

/** One page's connection to Holdfast. */
export class Pool {
  private readonly sessions = new Map<string, Session>();
  private readonly opening = new Map<string, (event: SessionEvent) => void>();
  private readonly models = new ModelRegistry();
  private readonly connection: BridgeConnection;
  private peer: DriverPeer | null = null;

  private constructor(
    extensionId: string,
    private readonly page: PageNeeds,
  ) {
    const events: BridgeEvents = {
      driver: this.driverEvents(),
      busy: () => this.opening.size > 0 || [...this.sessions.values()].some((session) => session.busy),
      lost: () => {
        this.peer = null;
        for (const session of this.sessions.values()) session.bridgeLost();
      },
      restored: (peer, downMs) => {
        this.peer = peer;
        for (const session of this.sessions.values()) void session.attach(peer, downMs);
      },
      failed: (error) => {
        for (const session of this.sessions.values()) session.fail(error);
      },
    };
    this.connection = new BridgeConnection(extensionId, events, page);
  }

  static async connect(
    extensionId: string,
    timeoutMs: number | undefined,
    signal: AbortSignal | undefined,
    page: PageNeeds = PAGE,
  ): Promise<Pool> {
    const aborted = (): HoldfastError =>
      new HoldfastError("ABORTED", "connect() was aborted by the signal that it was given.", { cause: signal?.reason });
    if (signal?.aborted) throw aborted();
    const pool = new Pool(extensionId, page);
    let abort = (): void => undefined;
    // An extension that is absent, or a user who does not answer, is not waited for any longer.
    const stopped = new Promise<never>((_, reject) => {
      abort = () => reject(aborted());
    });
    signal?.addEventListener("abort", abort, { once: true });
    try {
      pool.peer = await Promise.race([pool.connection.open(timeoutMs), stopped]);
      return pool;
    } catch (error) {
      pool.connection.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Gives a model a name that `createSession` takes in place of its source, for this pool only. Throws BAD_OPTIONS,
   * LIMIT_REACHED.
   */
  registerModel(name: string, source: ModelSource, options: ModelOptions = {}): void {
    this.models.register(name, source, options);
  }

  /**
   * Loads a model, cut into shards, each in a host of its own. Resolves when all hosts are ready. Throws HoldfastError
   * (BAD_OPTIONS, BAD_MODEL, TOO_MANY_SHARDS, MODEL_FETCH_FAILED, MODEL_INTEGRITY, PROVIDER_UNAVAILABLE, QUOTA_EXCEEDED,
   * ABORTED, …).
   */
  async createSession(model: ModelSource, asked: CreateSessionOptions = {}): Promise<Session> {
    const registered = this.models.find(model);
    const { tokenizer = registered?.tokenizer, signal, onEvent, ...rest } = asked;
    const options = parseSessionOptions(
      Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
    );
    const opened = await openSource(registered?.source ?? model);
    const source = registered === null ? opened : { ...opened, name: registered.name };
    const files = tokenizer == null ? null : await loadTokenizer(tokenizer);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.open(
          source,
          options,
          files,
          signal ?? new AbortController().signal,
          onEvent ?? (() => undefined),
        );
      } catch (error) {
        const again =
          error instanceof HoldfastError && (error.code === "EXTENSION_DISCONNECTED" || error.code === "HOST_LOST");
        if (!again || attempt >= OPEN_ATTEMPTS) throw error;
        await new Promise<void>((resolve) => this.page.after(200 * attempt, resolve));
      }
    }
  }

  /**
   * Takes a session of this origin up again after a reload, in another tab, after a restart of the browser or of the
   * extension: nothing is downloaded or planned, the state is the one after `session.durableRun`, and
   * `session.resumeGeneration()` goes on with a generation that was under way. Throws HoldfastError (SESSION_UNKNOWN,
   * SESSION_IN_USE while the page that has it lives, MODEL_DELETED, TOO_MANY_HOSTS, ABORTED, …); the session then stays as it
   * is.
   */
  async resumeSession(
    id: string,
    { tokenizer, signal, onEvent = () => undefined }: ResumeSessionOptions = {},
  ): Promise<Session> {
    const files = tokenizer === undefined ? null : await loadTokenizer(tokenizer);
    const peer = this.connected();
    if (signal?.aborted) throw abortedOpen(signal);
    if (this.sessions.has(id))
      throw new HoldfastError("SESSION_IN_USE", "This page has the session already; use the one it has.");
    const openId = this.page.newId();
    const forget = (): void => {
      if (this.sessions.get(id) === session) this.sessions.delete(id);
    };
    const session = new Session(peer, parseSessionOptions({}), files, onEvent, forget, this.page);
    session.claims(id);
    // Registered before the answer comes: the first ports arrive with it.
    this.sessions.set(id, session);
    this.opening.set(openId, onEvent);
    let abort = (): void => undefined;
    const stopped = new Promise<never>((_, reject) => {
      abort = () => reject(abortedOpen(signal as AbortSignal));
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
      this.opening.delete(openId);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** The sessions of this origin, parked ones too: what `resumeSession` can take up, unless a page has it. */
  listSessions(): Promise<readonly OwnSession[]> {
    return this.connected().call("sessions", null);
  }

  /** Releases all sessions and removes the bridge frame. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.sessions.values()].map((session) => session.release()));
    this.connection.close();
  }

  private async open(
    model: OpenModel,
    options: SessionOptions,
    tokenizer: TokenizerFiles | null,
    signal: AbortSignal,
    onEvent: (event: SessionEvent) => void,
  ): Promise<Session> {
    const peer = this.connected();
    if (signal.aborted) throw abortedOpen(signal);
    const openId = this.page.newId();
    const { port1, port2 } = this.page.channel();
    const sending = new AbortController();
    const abort = (): void => {
      sending.abort(signal.reason);
      peer.emit("abortOpen", { openId });
    };
    signal.addEventListener("abort", abort, { once: true });
    this.opening.set(openId, onEvent);
    // Registered before the answer comes: the first ports arrive with it.
    const session = new Session(peer, options, tokenizer, onEvent, () => this.sessions.delete(session.id), this.page);
    this.unnamed.add(session);
    try {
      peer.emit("ingest", { openId }, [port2]);
      const opened = peer.call("open", { openId, model: model.name, options, tokenizer });
      const sent = sendModel(model, port1, AbortSignal.any([signal, sending.signal]));
      // Whichever fails first is the reason; the other is told to stop.
      const info = await Promise.all([opened, sent]).then(([result]) => result);
      session.opened(info);
      this.sessions.set(info.sessionId, session);
      return session;
    } catch (error) {
      sending.abort(error);
      peer.emit("abortOpen", { openId });
      throw error;
    } finally {
      this.unnamed.delete(session);
      this.opening.delete(openId);
      signal.removeEventListener("abort", abort);
      port1.close();
    }
  }

  private connected(): DriverPeer {
    if (this.peer !== null) return this.peer;
    throw new HoldfastError(
      "EXTENSION_DISCONNECTED",
      "The extension's frame is being replaced; try again in a moment.",
    );
  }

  private readonly unnamed = new Set<Session>();

  private driverEvents(): EventHandlers<DriverEvents> {
    const find = (sessionId: string): Session | undefined =>
      this.sessions.get(sessionId) ?? [...this.unnamed].find((session) => session.claims(sessionId));
    return {
      progress: ({ openId, event }) => this.opening.get(openId)?.(event),
      session: ({ sessionId, event }) => find(sessionId)?.event(event),
      ports: ({ sessionId, feedsFrom }, [source, sink]) =>
        source !== undefined && sink !== undefined && find(sessionId)?.wire(source, sink, feedsFrom),
      safe: ({ sessionId, run }) => find(sessionId)?.safe(run),
      durable: ({ sessionId, run }) => find(sessionId)?.durable(run),
      runFailed: ({ sessionId, run, error }) => find(sessionId)?.runFailed(run, HoldfastError.from(error)),
      sessionFailed: ({ sessionId, error }) => find(sessionId)?.fail(HoldfastError.from(error)),
      prompt: ({ sessionId, base, promptIds }) => find(sessionId)?.prompt(base, promptIds),
      token: ({ sessionId, base, index, id, text }) => find(sessionId)?.token(base, { index, id, text }),
    };
  }
}

function abortedOpen(signal: AbortSignal): HoldfastError {
  return new HoldfastError("ABORTED", "The session was aborted before it opened.", { cause: signal.reason });
}

async function loadTokenizer(tokenizer: TokenizerSource): Promise<TokenizerFiles> {
  if (typeof tokenizer === "object" && "json" in tokenizer)
    return { json: tokenizer.json, config: tokenizer.config ?? {} };
  const url = new URL(tokenizer, location.href);
  const read = async (from: URL): Promise<object | null> => {
    const response = await fetch(from);
    return response.ok ? ((await response.json()) as object) : null;
  };
  try {
    const json = await read(url);
    if (json === null) throw new Error("the server did not find it");
    // Its settings stand beside it where models are published; a tokenizer without them works too.
    const config = await read(new URL("tokenizer_config.json", url)).catch(() => null);
    return { json, config: config ?? {} };
  } catch (error) {
    throw new HoldfastError(
      "MODEL_FETCH_FAILED",
      `${url.href} is no readable tokenizer.json (${messageOf(error)}). Check the URL.`,
      { cause: error },
    );
  }
}
