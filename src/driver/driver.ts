import { HoldfastError, messageOf } from "../base/errors.ts";
import { LateNumber } from "../base/late-number.ts";
import { INGESTS_PER_PAGE_MAX, TOLD_LATE_MS, TOLD_TOGETHER_RUNS } from "../base/limits.ts";
import { PLATFORM, type Platform } from "../base/platform.ts";
import { type CallHandlers, type EventHandlers, RpcPeer, servePort } from "../base/rpc.ts";
import type { ClientCalls, ClientEvents, DriverEvents, TokenizerFiles } from "../protocol/client.ts";
import type { OperationStatus } from "../protocol/options.ts";
import type { Caller, DriverReports, PoolCalls, PoolEvents, SessionInfo } from "../protocol/pool.ts";
import { checkedCalls, checkedEvents } from "./client-messages.ts";
import { generate, submitHistory } from "./generation.ts";
import { SessionDriver } from "./session-driver.ts";
import { type TextCodec, textCodec } from "./text.ts";
import type { Wirer } from "./wiring.ts";

/** Events kept for sessions whose opening is under way. */
const EARLY_EVENTS_MAX = 200;
/** Of a model's name only this much is of use to a reader. */
const MODEL_NAME_CHARS_MAX = 500;

export interface DriverNeeds {
  readonly bridgeId: string;
  /** The page's origin and the foreign frame around it, as the browser told the bridge. */
  readonly origin: string;
  readonly framedBy: string | null;
  /** Calls to the pool; rejects with EXTENSION_DISCONNECTED when the service worker ends before it answers. */
  callPool<M extends keyof PoolCalls>(method: M, params: PoolCalls[M]["params"]): Promise<PoolCalls[M]["result"]>;
  reportToPool<E extends keyof DriverReports>(name: E, payload: DriverReports[E]): void;
  readonly wirer: Wirer;
  carryIngest(sessionId: string, hostId: string, port: MessagePort): void;
  now(): number;
}

interface Running {
  readonly driver: SessionDriver;
  readonly codec: TextCodec | null;
  generating: { stop: boolean } | null;
}

/** Serves one page's client library: opens sessions at the pool and drives them. Lives in the bridge's worker. */
export class Driver {
  private readonly sessions = new Map<string, Running>();
  /** Sessions that are being opened or taken up, and what was told of sessions not known yet. */
  private arriving = 0;
  private readonly early: PoolEvents["session"][] = [];
  private readonly ingestPorts = new Map<string, MessagePort>();
  private readonly client: RpcPeer<Record<never, never>, DriverEvents, ClientCalls, ClientEvents>;

  constructor(
    private readonly needs: DriverNeeds,
    port: MessagePort,
    private readonly platform: Pick<Platform, "after"> = PLATFORM,
  ) {
    this.client = new RpcPeer<Record<never, never>, DriverEvents, ClientCalls, ClientEvents>(
      (message, transfer = []) => port.postMessage(message, transfer),
      checkedCalls(this.calls()),
      checkedEvents(this.events()),
    );
    servePort(port, this.client);
  }

  get busy(): boolean {
    return [...this.sessions.values()].some(({ driver }) => driver.busy);
  }

  poolEvents(): EventHandlers<PoolEvents> {
    return {
      session: ({ sessionId, event }) => {
        const running = this.sessions.get(sessionId);
        if (running !== undefined) running.driver.poolEvent(event);
        else if (this.arriving > 0 && this.early.length < EARLY_EVENTS_MAX) this.early.push({ sessionId, event });
      },
      progress: ({ ingestId, event }) => this.client.emit("progress", { openId: ingestId, event }),
      ingestAt: ({ ingestId, sessionId, hostId }) => {
        const port = this.ingestPorts.get(ingestId);
        this.ingestPorts.delete(ingestId);
        if (port !== undefined) this.needs.carryIngest(sessionId, hostId, port);
      },
    };
  }

  poolLost(): void {
    for (const { driver } of this.sessions.values()) driver.poolLost();
  }

  /** Ports of a wiring, on their way to the page. */
  givePage(sessionId: string, feedsFrom: number, source: MessagePort, sink: MessagePort): void {
    this.client.emit("ports", { sessionId, feedsFrom }, [source, sink]);
  }

  private get caller(): Caller {
    const { bridgeId, origin, framedBy } = this.needs;
    return { bridgeId, origin, framedBy };
  }

  private calls(): CallHandlers<ClientCalls> {
    const { needs } = this;
    const self = this.caller;
    return {
      ping: () => null,
      hello: async () => {
        await needs.callPool("hello", self);
        return null;
      },
      open: async ({ openId, model, options, tokenizer }) => {
        // First, so that no session is opened for a tokenizer that cannot be read.
        const codec = codecOf(tokenizer);
        const params = { ...self, model: model.slice(0, MODEL_NAME_CHARS_MAX), options, ingestId: openId };
        try {
          const driver = await this.arrival(needs.callPool("openSession", params), -1, codec, openId);
          await driver.start();
          return driver.info;
        } finally {
          this.ingestPorts.delete(openId);
        }
      },
      attach: async ({ sessionId, secret, acked, tokenizer }) => {
        const codec = codecOf(tokenizer);
        const info = needs.callPool("attachSession", { ...self, sessionId, secret });
        return (await this.arrival(info, acked, codec)).info;
      },
      release: async ({ sessionId }) => {
        this.sessions.get(sessionId)?.driver.close();
        this.sessions.delete(sessionId);
        return needs.callPool("releaseSession", { bridgeId: needs.bridgeId, sessionId });
      },
      originStatus: () => needs.callPool("originStatus", self),
      failHost: ({ hostId, signal }) => needs.callPool("failHost", { ...self, hostId, signal }),
      encode: ({ sessionId, text }) => {
        const { codec } = this.session(sessionId);
        if (codec !== null) return codec.encodeAll(text);
        throw new HoldfastError(
          "BAD_OPTIONS",
          "Text needs the model's tokenizer; give one to registerModel or createSession.",
        );
      },
      generate: async ({ sessionId, base, request, ids }) => {
        const running = this.session(sessionId);
        if (running.generating !== null)
          throw new HoldfastError(
            "SESSION_BUSY",
            "The session is generating; wait for its end or open another session.",
          );
        const generating = { stop: false };
        running.generating = generating;
        // A driver that goes on where another died says the same id.
        const operation = { sessionId, operationId: `generation ${sessionId} ${base}`, type: "generation" as const };
        needs.reportToPool("operation", { ...operation, status: "running" });
        let status: OperationStatus = "failed";
        try {
          const result = await generate(running.driver, running.codec, base, request, ids, () => generating.stop, {
            prompt: (promptIds) => this.client.emit("prompt", { sessionId, base, promptIds }),
            token: (index, id, text) => this.client.emit("token", { sessionId, base, index, id, text }),
            journal: (from, promptIds, some) =>
              needs.reportToPool("journal", {
                sessionId,
                durableRun: running.driver.durableRun,
                base: from,
                promptIds,
                ids: some,
              }),
          });
          status = result.error === null ? "completed" : "failed";
          return result;
        } finally {
          running.generating = null;
          needs.reportToPool("operation", { ...operation, status });
        }
      },
    };
  }

  private events(): EventHandlers<ClientEvents> {
    return {
      ingest: ({ openId }, [port]) => {
        if (port !== undefined && this.ingestPorts.size < INGESTS_PER_PAGE_MAX) this.ingestPorts.set(openId, port);
      },
      abortOpen: ({ openId }) => void this.needs.callPool("abortOpen", { ingestId: openId }).catch(() => undefined),
      run: ({ sessionId, run, reset, error, acked }) => {
        const driver = this.sessions.get(sessionId)?.driver;
        driver?.ack(acked);
        if (error !== null) driver?.skip(run, error);
        driver?.submit({ run, reset, reply: "page", feeds: null }).catch(() => undefined);
      },
      history: ({ sessionId, base, promptIds, ids, runs }) => {
        const driver = this.sessions.get(sessionId)?.driver;
        if (driver !== undefined) submitHistory(driver, base, promptIds, ids, Math.min(runs, ids.length + 1));
      },
      resume: ({ sessionId }) => void this.sessions.get(sessionId)?.driver.start(),
      ack: ({ sessionId, run }) => this.sessions.get(sessionId)?.driver.ack(run),
      stopGeneration: ({ sessionId }) => {
        const generating = this.sessions.get(sessionId)?.generating;
        if (generating) generating.stop = true;
      },
    };
  }

  /** The pool's events of a session may overtake the answer that names it. */
  private async arrival(
    opened: Promise<SessionInfo>,
    acked: number,
    codec: TextCodec | null,
    openId: string | null = null,
  ): Promise<SessionDriver> {
    this.arriving++;
    try {
      const info = await opened;
      // A page may open several at once: it is told whose the events are that come before the answer.
      if (openId !== null) this.client.emit("arrived", { openId, sessionId: info.sessionId });
      const driver = this.run(info, acked, codec);
      for (const { sessionId, event } of this.early) if (sessionId === driver.info.sessionId) driver.poolEvent(event);
      return driver;
    } finally {
      this.arriving--;
      if (this.arriving === 0) this.early.length = 0;
    }
  }

  private run(info: SessionInfo, acked: number, codec: TextCodec | null): SessionDriver {
    const { sessionId, secret } = info;
    // Its client library never takes a session up twice over one bridge; two drivers would fight over its stages.
    if (this.sessions.has(sessionId))
      throw new HoldfastError("SESSION_IN_USE", "This page drives the session already; use the one it has.");
    const { needs, client, platform } = this;
    const tellSafe = (run: number): void => client.emit("safe", { sessionId, run });
    const safe = new LateNumber(tellSafe, TOLD_TOGETHER_RUNS, TOLD_LATE_MS, platform);
    const driver = new SessionDriver(
      {
        wirer: needs.wirer,
        tell: (event) => client.emit("session", { sessionId, event }),
        safe: (run) => safe.grow(run),
        runFailed: (run, error) => client.emit("runFailed", { sessionId, run, error }),
        sessionFailed: (error) => {
          client.emit("sessionFailed", { sessionId, error });
          this.sessions.delete(sessionId);
          // Its hosts are of no more use to anybody.
          needs.callPool("releaseSession", { bridgeId: needs.bridgeId, sessionId }).catch(() => undefined);
        },
        verified: () => needs.reportToPool("verified", { sessionId }),
        unreachable: (hosts) => needs.reportToPool("unreachable", { sessionId, hosts }),
        attach: async () => {
          return (await needs.callPool("attachSession", { ...this.caller, sessionId, secret })).stages;
        },
        now: needs.now,
      },
      info,
      acked,
    );
    this.sessions.set(sessionId, { driver, codec, generating: null });
    return driver;
  }

  private session(sessionId: string): Running {
    const running = this.sessions.get(sessionId);
    if (running === undefined)
      throw new HoldfastError("SESSION_UNKNOWN", "There is no such session here; create a new one.");
    return running;
  }
}

function codecOf(tokenizer: TokenizerFiles | null): TextCodec | null {
  if (tokenizer === null) return null;
  try {
    return textCodec(tokenizer);
  } catch (error) {
    throw new HoldfastError(
      "BAD_OPTIONS",
      `The tokenizer cannot be read (${messageOf(error)}). Give the tokenizer.json that belongs to the model.`,
      { cause: error },
    );
  }
}
