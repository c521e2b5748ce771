/** Three minutes of `npm run chaos`: faults of every kind while three sites work. */
import { join } from "node:path";
import { ROOT } from "../../src/demo/launch/setup.mjs";
import { chaos } from "../chaos/chaos.ts";
import { figuresOf } from "../chaos/figures.ts";
import { expect, test } from "./harness/fixtures.ts";
import { SEED } from "./support/random.ts";

const MINUTES = 3;
const FAULTS_MIN = 15;

test("three minutes of chaos at level medium: no token is missing, doubled or wrong @long", async () => {
  test.setTimeout(600_000);
  const report = await chaos({
    minutes: MINUTES,
    level: "medium",
    extensionDir: join(ROOT, "dist/chrome-test"),
    say: console.log,
  });
  const figures = figuresOf(report);
  console.log(`npm run chaos -- --minutes ${MINUTES} --seed ${SEED} --level medium\n${JSON.stringify(figures)}`);
  expect(report.wrongs).toEqual([]);
  expect(report.errors).toEqual([]);
  expect(figures.tokens).toEqual({ missing: 0, doubled: 0, wrong: 0 });
  expect(figures.faults.injected).toBeGreaterThanOrEqual(FAULTS_MIN);
  expect(figures.faults.recovered).toBe(figures.faults.injected);
});
