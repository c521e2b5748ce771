import { HoldfastError, messageOf } from "../base/errors.ts";
import { INGESTS_PER_PAGE_MAX, SESSION_IDLE_MS } from "../base/limits.ts";
import { PLATFORM, type Platform } from "../base/platform.ts";
import { type CallHandlers, type EventHandlers, RpcPeer, servePort } from "../base/rpc.ts";
import type {
  ClientCalls,
  ClientEvents,
  DriverEvents,
  KnownGeneration,
  Resumed,
  TokenizerFiles,
} from "../protocol/client.ts";
import type { OperationStatus } from "../protocol/options.ts";
import type { Caller, DriverReports, PoolCalls, PoolEvents, SessionInfo } from "../protocol/pool.ts";
import { checkedCalls, checkedEvents } from "./client-messages.ts";
import { generate, submitHistory } from "./generation.ts";
import { SessionDriver } from "./session-driver.ts";
import { type DriverStart, sessionNeeds } from "./session-needs.ts";
import { TakeUp } from "./take-up.ts";
import { type TextCodec, textCodec } from "./text.ts";
import type { Wirer } from "./wiring.ts";

/** Where a session begins that its page has just opened. */
const NEW: DriverStart = { acked: -1, initialAt: -1, takeUp: null };
/** Events kept for sessions whose opening is under way. */
const EARLY_EVENTS_MAX = 200;
/** An idle session is noticed within this part of the time. */
const IDLE_LOOKS = 6;
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
  /** Epoch milliseconds. */
  wallNow(): number;
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
  private watching = false;
  private readonly early: PoolEvents["session"][] = [];
  private readonly ingestPorts = new Map<string, MessagePort>();
  private readonly client: RpcPeer<Record<never, never>, DriverEvents, ClientCalls, ClientEvents>;

  constructor(
    private readonly needs: DriverNeeds,
    port: MessagePort,
    private readonly platform: Pick<Platform, "after"> = PLATFORM,
    private readonly idleMs = SESSION_IDLE_MS,
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
      settle: ({ sessionId }) => void this.settle(sessionId),
      standStill: ({ sessionId }) => void this.standStill(sessionId),
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
          const opened = needs.callPool("openSession", params).then((info) => ({ info, start: NEW }));
          const driver = await this.arrival(opened, codec, openId);
          await driver.start();
          return driver.info;
        } finally {
          this.ingestPorts.delete(openId);
        }
      },
      attach: async ({ sessionId, secret, acked, initialAt, tokenizer }) => {
        const codec = codecOf(tokenizer);
        const start = { acked, initialAt, takeUp: null };
        const attached = needs.callPool("attachSession", { ...self, sessionId, secret });
        return (
          await this.arrival(
            attached.then((info) => ({ info, start })),
            codec,
          )
        ).info;
      },
      resume: (params) => this.resume(params),
      sessions: () => needs.callPool("listSessions", self),
      durable: async ({ sessionId }) => {
        const run = await this.session(sessionId).driver.rest.makeDurable();
        await needs.callPool("durable", { bridgeId: needs.bridgeId, sessionId, run });
        return run;
      },
      release: async ({ sessionId }) => {
        this.sessions.get(sessionId)?.driver.close();
        this.sessions.delete(sessionId);
        return needs.callPool("releaseSession", { bridgeId: needs.bridgeId, sessionId });
      },
      originStatus: ({ known }) => needs.callPool("originStatus", { ...self, known }),
      moveHost: ({ hostId }) => needs.callPool("moveHost", { ...self, hostId }),
      failHost: ({ hostId, signal }) => needs.callPool("failHost", { ...self, hostId, signal }),
      encode: ({ sessionId, text }) => {
        const { codec } = this.session(sessionId);
        if (codec !== null) return codec.encodeAll(text);
        throw new HoldfastError(
          "BAD_OPTIONS",
          "Text needs the model's tokenizer; give one to registerModel or createSession.",
        );
      },
      generate: async ({ sessionId, base, request, ids, from, lineage }) => {
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
          const { driver, codec } = running;
          const begun = { base, request, lineage };
          const result = await generate(driver, codec, begun, ids, from, () => generating.stop, {
            prompt: (promptIds) => this.client.emit("prompt", { sessionId, base, promptIds }),
            token: (index, id, text) => this.client.emit("token", { sessionId, base, index, id, text }),
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
      run: ({ sessionId, run, reset, error, acked, lineage }) => {
        const driver = this.sessions.get(sessionId)?.driver;
        driver?.ack(acked);
        driver?.tokens.leaveBefore(run);
        if (error !== null) driver?.skip(run, error);
        driver?.submit({ run, reset, reply: "page", lineage, feeds: null }).catch(() => undefined);
      },
      history: ({ sessionId, base, promptIds, ids, runs, lineage }) => {
        const driver = this.sessions.get(sessionId)?.driver;
        if (driver !== undefined)
          submitHistory(driver, { base, lineage }, promptIds, ids, Math.min(runs, ids.length + 1));
      },
      resume: ({ sessionId }) => void this.sessions.get(sessionId)?.driver.start(),
      ack: ({ sessionId, run }) => this.sessions.get(sessionId)?.driver.ack(run),
      leave: ({ sessionId }) => {
        this.sessions.get(sessionId)?.driver.close();
        this.sessions.delete(sessionId);
        this.needs.callPool("parkSession", { bridgeId: this.needs.bridgeId, sessionId }).catch(() => undefined);
      },
      holds: ({ sessionId, run }) => this.sessions.get(sessionId)?.driver.moving.pageHolds(run),
      stopGeneration: ({ sessionId }) => {
        const generating = this.sessions.get(sessionId)?.generating;
        if (generating) generating.stop = true;
      },
    };
  }

  /** A session of which nothing is left but what is stored, and whom it belongs to. */
  private async resume({ openId, sessionId, tokenizer }: ClientCalls["resume"]["params"]): Promise<Resumed> {
    const codec = codecOf(tokenizer);
    this.checkFree(sessionId);
    const resumed = this.needs.callPool("resumeSession", { ...this.caller, sessionId, ingestId: openId });
    const takeUp = resumed.then(({ generation, durableRun }) => new TakeUp(generation, durableRun));
    const started = Promise.all([resumed, takeUp]).then(([info, up]) => ({ info, start: { ...NEW, takeUp: up } }));
    const driver = await this.arrival(started, codec);
    await driver.start();
    const { reached, generation } = await takeUp;
    const { run, from } = await reached;
    return { info: driver.info, run, initial: from === "initial", generation: lastOf(generation, run) };
  }

  /** All that was done is to survive this driver. */
  private async settle(sessionId: string): Promise<void> {
    const running = this.sessions.get(sessionId);
    await running?.driver.rest.makeDurable().catch(() => undefined);
    this.needs.reportToPool("settled", { sessionId });
  }

  private async standStill(sessionId: string): Promise<void> {
    const is = (await this.sessions.get(sessionId)?.driver.moving.standStill()) ?? false;
    this.needs.reportToPool("still", { sessionId, is });
  }

  /** The pool's events of a session may overtake the answer that names it. */
  private async arrival(
    arriving: Promise<{ readonly info: SessionInfo; readonly start: DriverStart }>,
    codec: TextCodec | null,
    openId: string | null = null,
  ): Promise<SessionDriver> {
    this.arriving++;
    try {
      const { info, start } = await arriving;
      // A page may open several at once: it is told whose the events are that come before the answer.
      if (openId !== null) this.client.emit("arrived", { openId, sessionId: info.sessionId });
      const driver = this.run(info, start, codec);
      for (const { sessionId, event } of this.early) if (sessionId === driver.info.sessionId) driver.poolEvent(event);
      return driver;
    } finally {
      this.arriving--;
      if (this.arriving === 0) this.early.length = 0;
    }
  }

  /** Its client library never takes a session up twice over one bridge; two drivers would fight over its stages. */
  private checkFree(sessionId: string): void {
    if (this.sessions.has(sessionId))
      throw new HoldfastError("SESSION_IN_USE", "This page drives the session already; use the one it has.");
  }

  private run(info: SessionInfo, start: DriverStart, codec: TextCodec | null): SessionDriver {
    const { sessionId } = info;
    this.checkFree(sessionId);
    const { client, platform, needs } = this;
    const ways = { client, platform, pool: needs, caller: this.caller, ended: () => this.sessions.delete(sessionId) };
    const driver = new SessionDriver(sessionNeeds(info, start, ways), info, start);
    this.sessions.set(sessionId, { driver, codec, generating: null });
    this.watchIdle();
    return driver;
  }

  /** Sessions without a run for so long give their hosts back. */
  private watchIdle(): void {
    if (this.watching) return;
    this.watching = true;
    this.platform.after(this.idleMs / IDLE_LOOKS, () => {
      this.watching = false;
      if (this.sessions.size > 0) this.watchIdle();
      // One that cannot be made durable keeps its hosts.
      for (const { driver, generating } of this.sessions.values())
        if (generating === null && !driver.moving.holds && driver.rest.idleMs >= this.idleMs)
          driver.rest.park().catch(() => undefined);
    });
  }

  private session(sessionId: string): Running {
    const running = this.sessions.get(sessionId);
    if (running === undefined)
      throw new HoldfastError("SESSION_UNKNOWN", "There is no such session here; create a new one.");
    return running;
  }
}

/** A generation that other runs came after is none to go on with. */
function lastOf(generation: KnownGeneration | null, run: number): KnownGeneration | null {
  const { base = 0, runs = null } = generation?.head ?? {};
  return runs !== null && base + runs - 1 < run ? null : generation;
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
