import { expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import { CHECKPOINT_RETRY_MS } from "../../../src/base/limits.ts";
import { type PutBackInput, putBack } from "../../../src/driver/put-back.ts";
import type { StageLink } from "../../../src/driver/wiring.ts";

const STATUS = { run: null, stored: [], dropped: -1 };

/** One stage, lost, that can go back to run 3; a disk that refuses as often as is said. */
async function back(refusals: number) {
  const pauses: number[] = [];
  let asked = 0;
  const restore = async () => {
    if (asked++ < refusals) throw new HoldfastError("QUOTA_EXCEEDED", "the disk is full");
    return { run: 3, stored: [3], dropped: 3 };
  };
  const link = { restore } as Partial<StageLink> as StageLink;
  const input: PutBackInput = {
    ...{ links: [link], statuses: [STATUS], ways: [{ run: 3, from: "records" }], safe: 3, acked: 5, durable: 3 },
    ...{ restoreAll: false, isCurrent: () => true, stored: () => undefined, damaged: () => undefined },
    now: () => 0,
    sleep: async (ms) => void pauses.push(ms),
  };
  return { result: await putBack(input), pauses, asked };
}

it("a full disk that refuses to let go of later runs is asked again, after longer and longer pauses", async () => {
  const { result, pauses } = await back(2);
  expect(result).toMatchObject({ done: true, way: { run: 3 } });
  expect(pauses).toEqual(CHECKPOINT_RETRY_MS.slice(0, 2));
});

it("in the end it is said that the disk is full, and it is not taken for damage", async () => {
  const { result, asked } = await back(99);
  expect(result).toMatchObject({ done: false, error: { code: "QUOTA_EXCEEDED" } });
  expect(asked).toBe(1 + CHECKPOINT_RETRY_MS.length);
});
