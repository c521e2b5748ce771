import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import { type RpcMessage, RpcPeer } from "../../../src/base/rpc.ts";

interface Calls {
  add: { params: { a: number; b: number }; result: number };
  nothing: { params: null; result: null };
  refuse: { params: null; result: null };
  crash: { params: null; result: null };
}
interface Events {
  news: { text: string };
}
type Nothing = Record<never, never>;

/** A peer that calls and one that serves; every message goes through a structured clone, as over a port. */
function pair() {
  const heard: string[] = [];
  const sent: RpcMessage[] = [];
  const server = new RpcPeer<Nothing, Nothing, Calls, Events>(
    (message) => {
      sent.push(message);
      client.receive(structuredClone(message));
    },
    {
      add: async ({ a, b }) => a + b,
      nothing: () => null,
      refuse: () => {
        throw new HoldfastError("OUT_OF_MEMORY", "Too large.", { cause: new Error("std::bad_alloc") });
      },
      crash: () => Promise.reject(new TypeError("odd")),
    },
    { news: ({ text }) => heard.push(text) },
  );
  const client: RpcPeer<Calls, Events, Nothing, Nothing> = new RpcPeer<Calls, Events, Nothing, Nothing>(
    (message) => server.receive(structuredClone(message)),
    {},
    {},
  );
  return { client, server, heard, sent };
}

describe("a call", () => {
  it("is answered", async () => {
    await expect(pair().client.call("add", { a: 2, b: 3 })).resolves.toBe(5);
  });

  it("gets its own answer among many", async () => {
    const { client } = pair();
    const answers = await Promise.all([1, 2, 3].map((a) => client.call("add", { a, b: 10 })));
    expect(answers).toEqual([11, 12, 13]);
  });

  it("that gives nothing is answered with null", async () => {
    await expect(pair().client.call("nothing", null)).resolves.toBeNull();
  });

  it("fails with the other side's error: code, category, message and cause", async () => {
    await expect(pair().client.call("refuse", null)).rejects.toMatchObject({
      name: "HoldfastError",
      code: "OUT_OF_MEMORY",
      category: "MEMORY",
      message: "Too large.",
      cause: "std::bad_alloc",
    });
  });

  it("fails with INTERNAL where the other side threw what is not ours", async () => {
    await expect(pair().client.call("crash", null)).rejects.toMatchObject({ code: "INTERNAL", message: "odd" });
  });

  it("fails when it cannot be posted, and is forgotten", async () => {
    const peer = new RpcPeer<Calls, Nothing, Nothing, Nothing>(
      () => {
        throw new Error("could not be cloned");
      },
      {},
      {},
    );
    await expect(peer.call("nothing", null)).rejects.toMatchObject({
      code: "INTERNAL",
      message: "could not be cloned",
    });
  });

  it.each(["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf", "unknown", ""])(
    "of a method that is not served is refused: %s",
    async (method) => {
      const { server, sent } = pair();
      server.receive({ rpc: "call", id: 7, method, params: null });
      await expect.poll(() => sent).toHaveLength(1);
      expect(sent[0]).toMatchObject({ rpc: "error", id: 7, error: { code: "INTERNAL" } });
    },
  );

  it("whose other end is gone fails, once, and a late answer changes nothing", async () => {
    const messages: RpcMessage[] = [];
    const peer = new RpcPeer<Calls, Nothing, Nothing, Nothing>((message) => messages.push(message), {}, {});
    const calls = [peer.call("nothing", null), peer.call("add", { a: 1, b: 1 })];
    const gone = new HoldfastError("EXTENSION_DISCONNECTED", "It is gone.");
    peer.fail(gone);
    for (const call of calls) await expect(call).rejects.toBe(gone);
    expect(() => peer.receive({ rpc: "result", id: 1, value: null })).not.toThrow();
  });

  it("after a failure works again", async () => {
    const { client } = pair();
    client.fail(new HoldfastError("EXTENSION_DISCONNECTED", "It is gone."));
    await expect(client.call("add", { a: 1, b: 1 })).resolves.toBe(2);
  });
});

describe("an event", () => {
  it("arrives", () => {
    const { client, heard } = pair();
    client.emit("news", { text: "land" });
    expect(heard).toEqual(["land"]);
  });

  it.each(["constructor", "__proto__", "toString", "unknown"])("that nobody listens to is ignored: %s", (name) => {
    const { server, sent } = pair();
    expect(() => server.receive({ rpc: "event", name, payload: null })).not.toThrow();
    expect(sent).toEqual([]);
  });
});

describe("a foreign message", () => {
  it.each<unknown>([
    null,
    undefined,
    1,
    "call",
    [],
    {},
    { rpc: 1 },
    { rpc: "other" },
    { rpc: "result", id: 99, value: 1 },
    { rpc: "error", id: 99, error: null },
    { type: "webpackOk" },
  ])("is ignored: %o", async (message) => {
    const { server, sent, heard } = pair();
    expect(() => server.receive(message)).not.toThrow();
    await Promise.resolve();
    expect([sent, heard]).toEqual([[], []]);
  });
});
