import { callAgain } from "../base/call-again.ts";
import { HoldfastError } from "../base/errors.ts";
import type { Platform } from "../base/platform.ts";
import { RpcPeer } from "../base/rpc.ts";
import { Driver } from "../driver/driver.ts";
import { ChannelWirer } from "../driver/wiring.ts";
import type { DriverReports, PoolCalls, PoolEvents } from "../protocol/pool.ts";
import type { FromDriver, ToDriver } from "./bridge-protocol.ts";

type Post = (message: FromDriver, ports?: readonly MessagePort[]) => void;

/** The driver of one page, between the page's port and the bridge's main thread, which relays to the pool. */
export class PageDriver {
  private driver: Driver | null = null;
  private readonly pool: RpcPeer<PoolCalls, DriverReports, Record<never, never>, PoolEvents>;

  constructor(
    private readonly post: Post,
    private readonly platform: Platform,
  ) {
    this.pool = new RpcPeer<PoolCalls, DriverReports, Record<never, never>, PoolEvents>(
      (message) => post({ from: "driver", pool: message }),
      {},
      {
        session: (payload) => this.driver?.poolEvents().session(payload, []),
        progress: (payload) => this.driver?.poolEvents().progress(payload, []),
        standStill: (payload) => this.driver?.poolEvents().standStill(payload, []),
        settle: (payload) => this.driver?.poolEvents().settle(payload, []),
        ingestAt: (payload) => this.driver?.poolEvents().ingestAt(payload, []),
      },
    );
  }

  receive(message: ToDriver, ports: readonly MessagePort[]): void {
    if ("pool" in message) this.pool.receive(message.pool);
    else if ("poolLost" in message) {
      this.pool.fail(
        new HoldfastError(
          "EXTENSION_DISCONNECTED",
          "The extension's service worker ended before it answered; try again.",
        ),
      );
      this.driver?.poolLost();
    } else if (ports[0] !== undefined) this.driver = this.start(message.page, ports[0]);
  }

  private start(page: Extract<ToDriver, { page: object }>["page"], port: MessagePort): Driver {
    const { platform, post, pool } = this;
    const { bridgeId } = page;
    const wirer = new ChannelWirer(
      {
        toHost: (sessionId, { hostId, attempt }, stagePorts) =>
          post({ from: "driver", carry: { holdfast: "wire", bridgeId, sessionId, hostId, attempt } }, stagePorts),
        toPage: (sessionId, feedsFrom, source, sink) => made.givePage(sessionId, feedsFrom, source, sink),
      },
      undefined,
      platform,
    );
    const made: Driver = new Driver(
      {
        ...page,
        callPool: (method, params) => this.callPool(method, params),
        reportToPool: (name, payload) => pool.emit(name, payload),
        wirer,
        carryIngest: (sessionId, hostId, ingest) =>
          post({ from: "driver", carry: { holdfast: "ingest", bridgeId, sessionId, hostId, attempt: 0 } }, [ingest]),
        now: platform.now,
        wallNow: platform.wallNow,
      },
      port,
      platform,
    );
    return made;
  }

  /** Calls that change nothing when they are made twice are made again when the service worker ended in between. */
  private callPool<M extends keyof PoolCalls>(
    method: M,
    params: PoolCalls[M]["params"],
  ): Promise<PoolCalls[M]["result"]> {
    const { now, after } = this.platform;
    const call = (): Promise<PoolCalls[M]["result"]> => this.pool.call(method, params);
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => after(ms, resolve));
    return method === "openSession" ? call() : callAgain(call, { now, sleep });
  }
}
