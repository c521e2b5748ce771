import { expect, it } from "vitest";
import type { CheckpointStore } from "../../../src/adapters/checkpoint-store.ts";
import type { FromKeeper } from "../../../src/adapters/host-page-protocol.ts";
import { KeeperRoom } from "../../../src/adapters/keeper-room.ts";
import type { ModelStore } from "../../../src/adapters/model-store.ts";
import type { HostToPool, PoolToHost } from "../../../src/protocol/pool.ts";

/** A room whose stores are never asked for anything, and what it says to the pool. */
function room() {
  const said: FromKeeper[] = [];
  const keepers = new KeeperRoom({} as ModelStore, {} as CheckpointStore, (message) => said.push(message), false);
  const order = <E extends keyof PoolToHost>(name: E, payload: PoolToHost[E]): void =>
    keepers.receive({ to: "keeper", pool: { rpc: "event", name, payload } }, []);
  const hello = (): HostToPool["hello"]["hosts"] => {
    keepers.receive({ to: "keeper", hello: true }, []);
    const last = said.at(-1);
    if (last === undefined || !("pool" in last) || last.pool.rpc !== "event") throw new Error("it said no hello");
    return (last.pool.payload as HostToPool["hello"]).hosts;
  };
  return { order, hello };
}

const boot = (hostId: string, attempt: number): PoolToHost["boot"] => ({
  hostId,
  attempt,
  origin: "https://site.example",
  providers: ["wasm"],
  gpuLosses: 0,
  measure: [],
  avoid: [],
});

it("a host that was closed is not told of any more, and what comes late brings it not back", () => {
  const { order, hello } = room();
  order("boot", boot("a", 0));
  order("boot", boot("b", 2));
  expect(hello()).toEqual([
    { hostId: "a", attempt: 0, ready: false },
    { hostId: "b", attempt: 2, ready: false },
  ]);
  order("close", { hostId: "a" });
  const stage = {
    sessionId: "s",
    origin: "https://site.example",
    stage: 0,
    planId: "p",
    durable: true,
    standby: false,
  };
  order("load", { hostId: "a", attempt: 0, bootedAs: 0, ...stage });
  order("close", { hostId: "a" });
  order("close", { hostId: "never there" });
  expect(hello()).toEqual([{ hostId: "b", attempt: 2, ready: false }]);
});
