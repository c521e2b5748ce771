import { callAgain } from "../base/call-again.ts";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { Room } from "../base/room.ts";
import type { EventHandlers } from "../base/rpc.ts";
import type { ClientCalls, DriverEvents, EncodedText, OwnSession, TokenizerFiles } from "../protocol/client.ts";
import type { SessionEvent } from "../protocol/events.ts";
import type { SessionOptions } from "../protocol/options.ts";
import { parseSessionOptions } from "../protocol/session-options.ts";
import { BridgeConnection, type BridgeEvents, type DriverPeer, PAGE, type PageNeeds } from "./bridge-connection.ts";
import { type ModelOptions, ModelRegistry, type TokenizerSource } from "./model-registry.ts";
import { openAgain } from "./open-again.ts";
import { isRepository, modelsOf, type RepositorySource } from "./repository.ts";
import { type ResumeSessionOptions, resumeSession } from "./resume.ts";
import { BrowserCopies } from "./seed/browser-copies.ts";
import type { ConnectionPool } from "./seed/connection-pool.ts";
import {
  type ConcurrentOperation,
  type ModelPreferences,
  type OperationResult,
  PoolBridge,
  type ResourcePoolOptions,
} from "./seed/pool-bridge.ts";
import type { HealthStatus, PoolMetrics } from "./seed/pool-metrics.ts";
import type { PooledModel } from "./seed/pooled-model.ts";
import { sendModel } from "./send.ts";
import { Session } from "./session.ts";
import { type ModelSource, type OpenModel, openSource } from "./source.ts";
import { type Inference, type InferOptions, type Inputs, infer } from "./tasks.ts";
import { type CreateSessionsOptions, openTogether, weightOf } from "./together.ts";

export interface CreateSessionOptions extends Partial<Omit<SessionOptions, "shards" | "executionProviders">> {
  readonly shards?: number | undefined;
  readonly executionProviders?: SessionOptions["executionProviders"] | undefined;
  /** URL of tokenizer.json, or its contents; needed for text prompts. Left out: the registered model's. */
  readonly tokenizer?: TokenizerSource;
  /** What the model does with a text, as in `registerModel`. Left out: the registered model's. */
  readonly task?: string;
  readonly signal?: AbortSignal;
  /** Events from the start of loading on; the same as `session.on` afterwards. */
  readonly onEvent?: (event: SessionEvent) => void;
}

/** One page's connection to Holdfast. */
export class Pool {
  private readonly sessions = new Map<string, Session>();
  private readonly opening = new Map<string, (event: SessionEvent) => void>();
  private readonly models = new ModelRegistry();
  private readonly tasks = new WeakMap<Session, string | null>();
  private readonly connection: BridgeConnection;
  private readonly bridge: PoolBridge;
  private readonly copies = new BrowserCopies();
  /** Null: its frame is being replaced, which `bridged` waits for, unless `ended` says why there will be none. */
  private peer: DriverPeer | null = null;
  private readonly bridged = new Room();
  private ended: HoldfastError | null = null;

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
        this.bridged.look();
        for (const session of this.sessions.values()) void session.attach(peer, downMs);
      },
      failed: (error) => {
        this.end(error);
        for (const session of this.sessions.values()) session.fail(error);
      },
    };
    this.connection = new BridgeConnection(extensionId, events, page);
    this.bridge = new PoolBridge({
      createSession: (model, options) => this.createSession(model, options),
      infer: (session, inputs, options) => this.infer(session, inputs, options),
      status: () => this.copies.status((known) => this.ask("originStatus", { known })),
      failHost: (hostId, signal) => this.ask("failHost", { hostId, signal }),
      moveHost: (hostId) => this.ask("moveHost", { hostId }),
      deviceBytes: deviceBytes(),
      platform: page,
    });
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
    const { tokenizer = registered?.tokenizer, task = registered?.task, signal, onEvent, ...rest } = asked;
    const options = parseSessionOptions(
      Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
    );
    const opened = await openSource(registered?.source ?? model);
    const source = registered === null ? opened : { ...opened, name: registered.name };
    const files = tokenizer == null ? null : await loadTokenizer(tokenizer);
    const open = (): Promise<Session> =>
      this.open(source, options, files, signal ?? new AbortController().signal, onEvent ?? (() => undefined));
    const session = await openAgain(open, this.page);
    this.tasks.set(session, task ?? null);
    return session;
  }

  /**
   * Takes a session of this origin up again after a reload, in another tab, after a restart of the browser or of the
   * extension: nothing is downloaded or planned, the state is the one after `session.durableRun`, and
   * `session.resumeGeneration()` goes on with a generation that was under way. Throws HoldfastError (SESSION_UNKNOWN,
   * SESSION_IN_USE while the page that has it lives, MODEL_DELETED, TOO_MANY_HOSTS, ABORTED, …); the session then stays as it
   * is.
   */
  async resumeSession(id: string, options: ResumeSessionOptions = {}): Promise<Session> {
    const resume = async (): Promise<Session> =>
      resumeSession(id, options, {
        peer: await this.live(options.signal),
        page: this.page,
        sessions: this.sessions,
        opening: this.opening,
        loadTokenizer,
      });
    return openAgain(resume, this.page);
  }

  /** The sessions of this origin, parked ones too: what `resumeSession` can take up, unless a page has it. */
  listSessions(): Promise<readonly OwnSession[]> {
    return this.ask("sessions", null);
  }

  /**
   * Runs a session on tensors, or on a text (`{ text }`, `{ inputText }`) as its model's task has it: "text-generation"
   * continues it, the others ("feature-extraction", "text-classification", "fill-mask" …) feed its tokens. Throws BAD_FEEDS,
   * BAD_OPTIONS, and what `session.run` and `session.generate` throw.
   */
  infer(session: Session, inputs: Inputs, options?: InferOptions): Promise<Inference> {
    const encode = (text: string): Promise<EncodedText> => this.ask("encode", { sessionId: session.id, text });
    return infer(session, inputs, this.tasks.get(session) ?? null, encode, options);
  }

  /**
   * Several models that work together, one session each, by the names that were given: encoder and decoder, or detector,
   * classifier and recogniser. Of a folder or repository the models are found, and named by what they do. All or none opens.
   * Throws as `createSession` does, and BAD_OPTIONS for a repository without models.
   */
  createSessions(models: RepositorySource, options?: CreateSessionsOptions): Promise<Record<string, Session>>;
  createSessions<Name extends string>(
    models: Readonly<Record<Name, ModelSource>>,
    options?: CreateSessionsOptions,
  ): Promise<Record<Name, Session>>;
  async createSessions(
    given: RepositorySource | Readonly<Record<string, ModelSource>>,
    options: CreateSessionsOptions = {},
  ): Promise<Record<string, Session>> {
    const models = isRepository(given) ? await modelsOf(given, options.variant ?? null, options.signal) : given;
    return openTogether(models, options, {
      create: (model, own) => this.createSession(model, own),
      weigh: async (model) => weightOf(await openSource(this.models.find(model)?.source ?? model)),
    });
  }

  /** The page's own hosts, as the seed's browsers. */
  get connectionPool(): ConnectionPool {
    return this.bridge.connectionPool;
  }

  /** There already: `connect` has done it. */
  async initialize(): Promise<void> {}

  /** Bounds and defaults of what the methods below open; models that are open stay. Throws BAD_OPTIONS. */
  configure(options: ResourcePoolOptions): void {
    this.bridge.configure(options);
  }

  /**
   * The model by this name, opened unless it is open, within `maxConnections` hosts. Throws as `createSession` does, and
   * TOO_MANY_HOSTS.
   */
  getModel(type: string, name: string, preferences?: ModelPreferences): Promise<PooledModel> {
    return this.bridge.getModel(type, name, preferences);
  }

  /** Runs many models at once; what fails fails alone. In the order of the list. */
  executeConcurrent(list: readonly ConcurrentOperation[]): Promise<OperationResult[]> {
    return this.bridge.executeConcurrent(list);
  }

  /** How the site's hosts are. */
  getHealthStatus(): Promise<HealthStatus> {
    return this.bridge.getHealthStatus();
  }

  getMetrics(): Promise<PoolMetrics> {
    return this.bridge.getMetrics();
  }

  /** Releases all sessions and removes the bridge frame. */
  async close(): Promise<void> {
    await this.bridge.close();
    await Promise.allSettled([...this.sessions.values()].map((session) => session.release()));
    this.connection.close();
    this.end(new HoldfastError("SESSION_RELEASED", "The connection to Holdfast was closed; call connect() again."));
  }

  /** Asks the driver, the next one too where a bridge died meanwhile. For what may be asked twice. */
  private ask<M extends "sessions" | "encode" | "originStatus" | "failHost" | "moveHost">(
    method: M,
    params: ClientCalls[M]["params"],
  ): Promise<ClientCalls[M]["result"]> {
    const { page } = this;
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => page.after(ms, resolve));
    return callAgain(async () => (await this.live()).call(method, params), { now: () => page.now(), sleep });
  }

  /** A frame that is being replaced is waited for: trying again before it is there would help nobody. */
  private async live(signal?: AbortSignal): Promise<DriverPeer> {
    await this.bridged.wait(() => this.peer === null && this.ended === null, signal);
    if (this.peer !== null) return this.peer;
    throw (
      this.ended ?? new HoldfastError("ABORTED", "The signal that was given aborted it.", { cause: signal?.reason })
    );
  }

  private end(error: HoldfastError): void {
    this.ended = error;
    this.bridged.look();
  }

  private async open(
    model: OpenModel,
    options: SessionOptions,
    tokenizer: TokenizerFiles | null,
    signal: AbortSignal,
    onEvent: (event: SessionEvent) => void,
  ): Promise<Session> {
    const aborted = (): HoldfastError =>
      new HoldfastError("ABORTED", "The session was aborted before it opened.", { cause: signal.reason });
    if (signal.aborted) throw aborted();
    const peer = await this.live(signal);
    if (signal.aborted) throw aborted();
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
    this.arriving.set(openId, session);
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
      this.abandon(peer, openId);
      throw error;
    } finally {
      this.arriving.delete(openId);
      this.opening.delete(openId);
      signal.removeEventListener("abort", abort);
      port1.close();
    }
  }

  /** Nobody takes what it gives. A frame that died hears nothing: the next one says it, or its hosts would be held for the grace of a page. */
  private abandon(peer: DriverPeer, openId: string): void {
    const tell = (to: DriverPeer): void => to.emit("abortOpen", { openId });
    if (peer.isClosed) this.live().then(tell, () => undefined);
    else tell(peer);
  }

  /** By the name of the call that opens each. */
  private readonly arriving = new Map<string, Session>();

  private driverEvents(): EventHandlers<DriverEvents> {
    const find = (sessionId: string): Session | undefined =>
      this.sessions.get(sessionId) ?? [...this.arriving.values()].find((session) => session.id === sessionId);
    return {
      arrived: ({ openId, sessionId }) => {
        const session = this.arriving.get(openId);
        if (session !== undefined) session.name = sessionId;
      },
      progress: ({ openId, event }) => this.opening.get(openId)?.(event),
      session: ({ sessionId, event }) => find(sessionId)?.event(event),
      ports: ({ sessionId, feedsFrom }, [source, sink]) =>
        source !== undefined && sink !== undefined && find(sessionId)?.wire(source, sink, feedsFrom),
      safe: ({ sessionId, run }) => find(sessionId)?.safe(run),
      stored: ({ sessionId, run }) => find(sessionId)?.stored(run),
      durable: ({ sessionId, run }) => find(sessionId)?.durable(run),
      unwired: ({ sessionId }) => find(sessionId)?.unwired(),
      hold: ({ sessionId }) => find(sessionId)?.hold(),
      runFailed: ({ sessionId, run, error }) => find(sessionId)?.runFailed(run, HoldfastError.from(error)),
      sessionFailed: ({ sessionId, error }) => find(sessionId)?.fail(HoldfastError.from(error)),
      prompt: ({ sessionId, base, promptIds }) => find(sessionId)?.prompt(base, promptIds),
      token: ({ sessionId, base, index, id, text }) => find(sessionId)?.token(base, { index, id, text }),
    };
  }
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

/** Memory of the device, in whole GiB and capped; not every browser tells. */
function deviceBytes(): number | null {
  const { navigator } = globalThis as { readonly navigator?: { readonly deviceMemory?: number } };
  return navigator?.deviceMemory === undefined ? null : navigator.deviceMemory * 1024 ** 3;
}
