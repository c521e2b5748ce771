import { expect, it } from "vitest";
import { startOnce } from "../../../src/base/start-once.ts";

it("starts once for all who ask", async () => {
  let starts = 0;
  const started = startOnce(async () => ++starts);
  expect(await Promise.all([started(), started()])).toEqual([1, 1]);
  expect(await started()).toBe(1);
});

it("fails for all who wait for one start, and starts anew for the next", async () => {
  let starts = 0;
  const started = startOnce(async () => {
    starts += 1;
    if (starts < 3) throw new Error(`start ${starts}`);
    return starts;
  });
  const both = await Promise.allSettled([started(), started()]);
  expect(both.map((end) => end.status === "rejected" && String(end.reason))).toEqual([
    "Error: start 1",
    "Error: start 1",
  ]);
  await expect(started()).rejects.toThrow("start 2");
  expect(await started()).toBe(3);
});
