import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import { TokenQueue } from "../../../src/page/generation.ts";

const token = (index: number) => ({ index, id: 100 + index, text: "" });
const failure = new HoldfastError("RECOVERY_FAILED", "gone");

async function taken(queue: TokenQueue): Promise<number[]> {
  const seen: number[] = [];
  for await (const { index } of queue) seen.push(index);
  return seen;
}

describe("tokens between driver and page", () => {
  it("come out in order, whether they were pushed before or after somebody waited", async () => {
    const queue = new TokenQueue();
    queue.push(token(0));
    const all = taken(queue);
    await new Promise(setImmediate);
    queue.push(token(1));
    queue.push(token(2));
    queue.end();
    expect(await all).toEqual([0, 1, 2]);
  });
  it("that were pushed before a failure come out before it", async () => {
    const queue = new TokenQueue();
    queue.push(token(0));
    queue.fail(failure);
    const seen: number[] = [];
    await expect(
      (async () => {
        for await (const { index } of queue) seen.push(index);
      })(),
    ).rejects.toBe(failure);
    expect(seen).toEqual([0]);
  });
  it("end once: what ended well does not fail afterwards", async () => {
    const queue = new TokenQueue();
    queue.end();
    queue.fail(failure);
    expect(await taken(queue)).toEqual([]);
  });
});
