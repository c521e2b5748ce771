import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import { RpcPeer } from "../../../src/base/rpc.ts";
import type { DriverPeer } from "../../../src/page/bridge-connection.ts";
import { Session } from "../../../src/page/session.ts";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";

const gone = new HoldfastError("EXTENSION_DISCONNECTED", "The service worker ended 9 times.");
const PLAN = { strategy: "layer_based", reason: "", shardsMax: 1, feeds: [], results: [], stateInputs: [], shards: [] };

/** A session whose first bridge died; the second one's driver answers `attach` as told. */
function session(attach: () => Promise<never>) {
  const never: DriverPeer = new RpcPeer(() => undefined, {}, {} as never);
  const made = new Session(
    never,
    parseSessionOptions({}),
    null,
    () => undefined,
    () => undefined,
  );
  const options = parseSessionOptions({});
  made.opened({ sessionId: "s", secret: "x", plan: PLAN as never, options, stages: [] });
  made.bridgeLost();
  const driver = new RpcPeer<
    Record<never, never>,
    Record<never, never>,
    { attach: { params: null; result: never } },
    Record<never, never>
  >((message) => peer.receive(message), { attach }, {});
  const peer: DriverPeer = new RpcPeer((message) => driver.receive(message), {}, {} as never);
  return { made, peer };
}

describe("a session that a new bridge takes up", () => {
  it("fails when the bridge lives and the pool behind it does not: nobody would come again", async () => {
    const { made, peer } = session(() => Promise.reject(gone));
    await made.attach(peer, 0);
    await expect(made.run({})).rejects.toMatchObject({ code: "EXTENSION_DISCONNECTED" });
  });

  it("waits for the next bridge when this one died before it answered", async () => {
    const { made, peer } = session(() => new Promise(() => undefined));
    const attached = made.attach(peer, 0);
    peer.close(gone);
    await attached;
    const outcome = await Promise.race([
      made.run({}).then(
        () => "answered",
        () => "failed",
      ),
      new Promise((resolve) => setTimeout(resolve, 50, "waits")),
    ]);
    expect(outcome).toBe("waits");
  });
});
