import type { FromDriver, ToDriver } from "./adapters/bridge-protocol.ts";
import { callAgain } from "./base/call-again.ts";
import { HoldfastError } from "./base/errors.ts";
import { RpcPeer } from "./base/rpc.ts";
import { Driver } from "./driver/driver.ts";
import { ChannelWirer } from "./driver/wiring.ts";
import type { DriverReports, PoolCalls, PoolEvents } from "./protocol/pool.ts";

// The driver of one page. A worker, because the bridge's main thread is shared and may be throttled.
const post = (message: FromDriver, ports: readonly MessagePort[] = []): void =>
  postMessage(message, { transfer: [...ports] });

let driver: Driver | null = null;
const pool = new RpcPeer<PoolCalls, DriverReports, Record<never, never>, PoolEvents>(
  (message) => post({ from: "driver", pool: message }),
  {},
  {
    session: (payload) => driver?.poolEvents().session(payload, []),
    progress: (payload) => driver?.poolEvents().progress(payload, []),
    settle: (payload) => driver?.poolEvents().settle(payload, []),
    ingestAt: (payload) => driver?.poolEvents().ingestAt(payload, []),
  },
);

self.onmessage = ({ data, ports }: MessageEvent<ToDriver>) => {
  if ("pool" in data) pool.receive(data.pool);
  else if ("poolLost" in data) {
    pool.fail(
      new HoldfastError(
        "EXTENSION_DISCONNECTED",
        "The extension's service worker ended before it answered; try again.",
      ),
    );
    driver?.poolLost();
  } else if (ports[0] !== undefined) driver = start(data.page, ports[0]);
};

function start({ bridgeId, origin, framedBy }: Extract<ToDriver, { page: object }>["page"], port: MessagePort): Driver {
  const wirer = new ChannelWirer({
    toHost: (sessionId, { hostId, attempt }, stagePorts) =>
      post({ from: "driver", carry: { holdfast: "wire", bridgeId, sessionId, hostId, attempt } }, stagePorts),
    toPage: (sessionId, feedsFrom, source, sink) => made.givePage(sessionId, feedsFrom, source, sink),
  });
  const made: Driver = new Driver(
    {
      bridgeId,
      origin,
      framedBy,
      callPool: (method, params) => callPool(method, params),
      reportToPool: (name, payload) => pool.emit(name, payload),
      wirer,
      carryIngest: (sessionId, hostId, ingest) =>
        post({ from: "driver", carry: { holdfast: "ingest", bridgeId, sessionId, hostId, attempt: 0 } }, [ingest]),
      now: () => performance.now(),
    },
    port,
  );
  return made;
}

/** Calls that change nothing when they are made twice are made again when the service worker ended in between. */
function callPool<M extends keyof PoolCalls>(
  method: M,
  params: PoolCalls[M]["params"],
): Promise<PoolCalls[M]["result"]> {
  const call = (): Promise<PoolCalls[M]["result"]> => pool.call(method, params);
  return method === "openSession" ? call() : callAgain(call, { now: () => performance.now(), sleep });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
