import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import { type RpcMessage, RpcPeer } from "../../../src/base/rpc.ts";

interface Calls {
  add: { params: { a: number; b: number }; result: number };
  fail: { params: null; result: null };
  crash: { params: null; result: null };
}
interface Events {
  note: { text: string };
}
type Nothing = Record<never, never>;

/** Two peers, the second of which serves; what passes between them is seen. */
function pair() {
  const passed: RpcMessage[] = [];
  const notes: string[] = [];
  const server = new RpcPeer<Nothing, Nothing, Calls, Events>(
    (message) => client.receive(structuredClone(message)),
    {
      add: ({ a, b }) => a + b,
      fail: () => {
        throw new HoldfastError("BAD_MODEL", "It is no model.", { cause: new Error("byte 0") });
      },
      crash: () => {
        throw new TypeError("oops");
      },
    },
    { note: ({ text }) => notes.push(text) },
  );
  const client = new RpcPeer<Calls, Events, Nothing, Nothing>(
    (message) => {
      passed.push(message);
      server.receive(structuredClone(message));
    },
    {},
    {},
  );
  return { client, server, passed, notes };
}

const gone = new HoldfastError("EXTENSION_DISCONNECTED", "It is gone.");

describe("calls and events", () => {
  it("resolve with the result", async () => {
    expect(await pair().client.call("add", { a: 2, b: 3 })).toBe(5);
  });
  it("reject with the error, its code, category and cause", async () => {
    await expect(pair().client.call("fail", null)).rejects.toMatchObject({
      code: "BAD_MODEL",
      category: "UNKNOWN",
      message: "It is no model.",
      cause: "byte 0",
    });
  });
  it("turn any other error into INTERNAL", async () => {
    await expect(pair().client.call("crash", null)).rejects.toMatchObject({ code: "INTERNAL", message: "oops" });
  });
  it("deliver events to their handler", () => {
    const { client, notes } = pair();
    client.emit("note", { text: "hello" });
    expect(notes).toEqual(["hello"]);
  });
  it("reject when the message cannot be posted", async () => {
    const peer = new RpcPeer<Calls, Events, Nothing, Nothing>(
      () => {
        throw new Error("port closed");
      },
      {},
      {},
    );
    await expect(peer.call("add", { a: 1, b: 1 })).rejects.toMatchObject({ message: "port closed" });
  });
});

describe("foreign messages", () => {
  it.each([
    null,
    undefined,
    7,
    "call",
    [],
    {},
    { rpc: 1 },
    { rpc: "call" },
    { rpc: "call", id: "1", method: "add" },
    { rpc: "call", id: 1, method: null },
    { rpc: "result", id: 99, value: 1 },
    { rpc: "error", id: 99, error: null },
    { rpc: "error", id: 1 },
    { rpc: "event", name: "unknown" },
    { rpc: "event", name: "__proto__", payload: {} },
    { rpc: "event", name: "toString" },
    { rpc: "event", name: 3 },
  ])("are ignored: %j", (message) => {
    expect(() => pair().server.receive(message)).not.toThrow();
  });
  it.each(["__proto__", "constructor", "toString", "missing"])("a method named %s is not found", async (method) => {
    const answers: RpcMessage[] = [];
    const server = new RpcPeer<Nothing, Nothing, Nothing, Nothing>((message) => answers.push(message), {}, {});
    server.receive({ rpc: "call", id: 1, method, params: null });
    await Promise.resolve();
    expect(answers).toMatchObject([{ rpc: "error", id: 1, error: { code: "INTERNAL" } }]);
  });
  it("an answer that cannot be posted rejects nothing unseen", async () => {
    const server = new RpcPeer<Nothing, Nothing, Pick<Calls, "add">, Nothing>(
      () => {
        throw new Error("port closed");
      },
      { add: ({ a, b }) => a + b },
      {},
    );
    server.receive({ rpc: "call", id: 1, method: "add", params: { a: 1, b: 1 } });
    await new Promise(setImmediate);
  });
});

describe("the end of the other side", () => {
  const silent = () => new RpcPeer<Calls, Events, Nothing, Nothing>(() => undefined, {}, {});

  it("ends open calls, and later ones are asked anew after fail", async () => {
    const peer = silent();
    const open = peer.call("add", { a: 1, b: 1 });
    peer.fail(gone);
    await expect(open).rejects.toBe(gone);
    const later = peer.call("add", { a: 1, b: 1 });
    expect(await Promise.race([later, Promise.resolve("waits")])).toBe("waits");
  });
  it("ends later calls as well after close", async () => {
    const peer = silent();
    peer.close(gone);
    await expect(peer.call("add", { a: 1, b: 1 })).rejects.toBe(gone);
  });
  it("an answer that comes after the end changes nothing", async () => {
    const peer = silent();
    const open = peer.call("add", { a: 1, b: 1 });
    peer.fail(gone);
    peer.receive({ rpc: "result", id: 1, value: 2 });
    await expect(open).rejects.toBe(gone);
  });
});
