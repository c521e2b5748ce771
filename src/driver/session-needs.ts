import type { ErrorData } from "../base/errors.ts";
import { LateNumber } from "../base/late-number.ts";
import { DURABLE_REPORT_MS, TOLD_LATE_MS, TOLD_TOGETHER_RUNS } from "../base/limits.ts";
import type { Platform } from "../base/platform.ts";
import type { RpcPeer } from "../base/rpc.ts";
import type { ClientCalls, ClientEvents, DriverEvents } from "../protocol/client.ts";
import type { SessionEvent, StageInfo } from "../protocol/events.ts";
import type { Caller, Lease, SessionInfo, TokensEntry } from "../protocol/pool.ts";
import { Doubts } from "./doubts.ts";
import type { DriverNeeds } from "./driver.ts";
import { RunDigests } from "./run-digests.ts";
import { SpotChecks } from "./spot-check.ts";
import type { TakeUp } from "./take-up.ts";
import type { Wirer } from "./wiring.ts";

export interface SessionDriverNeeds extends Pick<Platform, "after"> {
  readonly wirer: Wirer;
  /** To the page. */
  tell(event: SessionEvent): void;
  safe(run: number): void;
  stored(run: number): void;
  durable(run: number): void;
  /** Runs fail with their host: the page's ports count for nothing until they are given anew. */
  unwired(): void;
  /** Hosts are about to change: the page feeds nothing until it is given ports again. */
  hold(): void;
  runFailed(run: number, error: ErrorData): void;
  sessionFailed(error: ErrorData): void;
  /** To the pool. */
  journal(entry: TokensEntry): Promise<unknown>;
  verified(): void;
  /** The hosts may go; the stored state stays. */
  park(): Promise<unknown>;
  /** These hosts take no ports, or do not answer over them, although the pool calls them ready. */
  unreachable(hosts: readonly Lease[]): void;
  /**
   * The stages as the pool knows them, which hears what it last said of them (`known`; nothing of a parked
   * session, which lets its hosts go itself); wakes a sleeping service worker.
   */
  attach(known: readonly StageInfo[]): Promise<readonly StageInfo[]>;
  now(): number;
  /** Epoch milliseconds. */
  wallNow(): number;
}

/** Where a driver begins with a session. */
export interface DriverStart {
  /** The last run whose answer the page has. */
  readonly acked: number;
  /** The stages had initial state after this run. */
  readonly initialAt: number;
  /** Only storage is left of the session; null: its page goes on. */
  readonly takeUp: TakeUp | null;
}

export interface Ways {
  readonly client: RpcPeer<Record<never, never>, DriverEvents, ClientCalls, ClientEvents>;
  readonly pool: Pick<DriverNeeds, "callPool" | "reportToPool" | "wirer" | "now" | "wallNow">;
  readonly platform: Pick<Platform, "after">;
  readonly caller: Caller;
  /** Nobody drives the session any more. */
  ended(): void;
}

/** How one session's driver is heard by its page and by the pool. */
export function sessionNeeds(info: SessionInfo, start: DriverStart, ways: Ways): SessionDriverNeeds {
  const { client, pool, platform, caller } = ways;
  const { sessionId, secret } = info;
  const { bridgeId } = caller;
  const tellSafe = (run: number): void => client.emit("safe", { sessionId, run });
  const safe = new LateNumber(tellSafe, TOLD_TOGETHER_RUNS, TOLD_LATE_MS, platform);
  const doubts = new Doubts();
  const digests = new RunDigests();
  const { spotCheck = 0 } = info.options;
  const isStateful = info.plan.stateInputs.length > 0;
  const checks = spotCheck > 0 ? new SpotChecks(spotCheck, sessionId, isStateful) : undefined;
  let isTaken = start.takeUp === null;
  const takes = (): void => {
    isTaken = true;
  };
  start.takeUp?.reached.then(takes, () => undefined);
  return {
    wirer: {
      wire: (id, stages, events) => {
        const lease = ({ hostId, attempt }: StageInfo): Lease => ({ hostId, attempt });
        return pool.wirer.wire(id, stages, {
          ...events,
          doubts,
          digests,
          checks,
          outvoted: (host, run) => pool.reportToPool("outvoted", { sessionId, host: lease(host), run }),
          unreachable: (host) => pool.reportToPool("unreachable", { sessionId, hosts: [lease(host)] }),
        });
      },
    },
    after: platform.after,
    tell: (event) => client.emit("session", { sessionId, event }),
    safe: (run) => safe.grow(run),
    stored: (run) => client.emit("stored", { sessionId, run }),
    durable: durableReports(info, ways),
    unwired: () => client.emit("unwired", { sessionId }),
    hold: () => client.emit("hold", { sessionId }),
    runFailed: (run, error) => client.emit("runFailed", { sessionId, run, error }),
    sessionFailed: (error) => {
      client.emit("sessionFailed", { sessionId, error });
      ways.ended();
      // Its hosts are of no more use to anybody; of a session that was only being taken up, what is stored is.
      const end = isTaken ? "releaseSession" : "parkSession";
      pool.callPool(end, { bridgeId, sessionId }).catch(() => undefined);
    },
    journal: (entry) => pool.callPool("journal", { bridgeId, sessionId, entry }),
    park: () => pool.callPool("parkSession", { bridgeId, sessionId }),
    verified: () => pool.reportToPool("verified", { sessionId }),
    unreachable: (hosts) => pool.reportToPool("unreachable", { sessionId, hosts }),
    attach: async (known) => (await pool.callPool("attachSession", { ...caller, sessionId, secret, known })).stages,
    now: pool.now,
    wallNow: pool.wallNow,
  };
}

/** Told to the page at once where stages have stored it; of stateless runs only the journal knows, so when it does. */
function durableReports({ sessionId, plan }: SessionInfo, { client, pool, platform, caller }: Ways) {
  const isStateful = plan.stateInputs.length > 0;
  const told = (run: number): void => {
    client.emit("durable", { sessionId, run });
    client.emit("session", { sessionId, event: { type: "durable", run } });
  };
  const report = (run: number): void => {
    const saved = pool.callPool("durable", { bridgeId: caller.bridgeId, sessionId, run });
    saved.then(() => isStateful || told(run)).catch(() => undefined);
  };
  const reported = new LateNumber(report, Number.POSITIVE_INFINITY, DURABLE_REPORT_MS, platform);
  return (run: number): void => {
    if (isStateful) told(run);
    reported.grow(run);
  };
}
