import { describe, expect, it } from "vitest";
import { callAgain } from "../../../src/base/call-again.ts";
import { HoldfastError } from "../../../src/base/errors.ts";
import { POOL_CALL_LONG_MS, POOL_CALL_PAUSES_MS } from "../../../src/base/limits.ts";

/** A clock, and a service worker that ends so many times, after so long, before it answers. */
function world(ends: number, afterMs: number) {
  let now = 0;
  const calls: number[] = [];
  const needs = {
    now: () => now,
    sleep: async (ms: number) => {
      now += ms;
    },
  };
  const call = async (): Promise<string> => {
    calls.push(now);
    now += afterMs;
    if (calls.length <= ends) throw new HoldfastError("EXTENSION_DISCONNECTED", "it ended");
    return "answer";
  };
  return { needs, call, calls };
}

describe("a call to a service worker", () => {
  it("that ends now and then is made again until it is answered", async () => {
    const { needs, call, calls } = world(3, 10);
    expect(await callAgain(call, needs)).toBe("answer");
    expect(calls).toEqual([0, 60, 120, 230]);
  });
  it("that cannot start is given up, with an error that says so", async () => {
    const { needs, call, calls } = world(Number.POSITIVE_INFINITY, 10);
    await expect(callAgain(call, needs)).rejects.toMatchObject({
      code: "EXTENSION_DISCONNECTED",
      message: expect.stringMatching(/9 times.*reload the extension/),
    });
    expect(calls).toHaveLength(POOL_CALL_PAUSES_MS.length + 1);
  });
  it("that the user lets wait for an hour is made again all that time", async () => {
    const { needs, call, calls } = world(100, POOL_CALL_LONG_MS);
    expect(await callAgain(call, needs)).toBe("answer");
    expect(calls).toHaveLength(101);
  });
  it("whose answer could not be stored is made again three times", async () => {
    for (const failures of [2, 100]) {
      let calls = 0;
      const call = async (): Promise<number> => {
        calls++;
        if (calls <= failures) throw new HoldfastError("QUOTA_EXCEEDED", "the disk is full");
        return calls;
      };
      const end = callAgain(call, world(0, 0).needs).catch((error: HoldfastError) => error.code);
      expect([await end, calls]).toEqual(failures === 2 ? [3, 3] : ["QUOTA_EXCEEDED", 4]);
    }
  });
  it("that is refused is not made again", async () => {
    let calls = 0;
    const call = async (): Promise<never> => {
      calls += 1;
      throw new HoldfastError("PERMISSION_DENIED", "no");
    };
    await expect(callAgain(call, world(0, 0).needs)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    expect(calls).toBe(1);
  });
});
