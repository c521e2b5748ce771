import { expect, it } from "vitest";
import { fuzz } from "../../fuzz/fuzz.mjs";

const FILES = 2000;

it(`${FILES} damaged files: a plan or a refusal, never a hang, a crash or 256 MB`, async () => {
  const { outcomes, bad, grownMb, seconds } = await fuzz({ seed: 7, from: 0, count: FILES, lanes: 2 });
  console.log(`${seconds.toFixed(1)} s, memory grew by ${grownMb.toFixed(0)} MB, ${JSON.stringify(outcomes)}`);
  expect(bad).toEqual([]);
  expect(outcomes["plan"]).toBeGreaterThan(FILES * 0.3);
  expect(Object.values(outcomes).reduce((sum, times) => sum + times, 0)).toBe(FILES);
}, 120_000);
