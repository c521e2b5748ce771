import { expect, it } from "vitest";
import { FORGET_AGAIN_MS } from "../../../src/base/limits.ts";
import { BRIDGE, FakeBrowser } from "./fake-browser.ts";

const [first, second] = FORGET_AGAIN_MS;

it("what a full disk does not let go of is deleted after a pause, and once", async () => {
  const browser = new FakeBrowser();
  const { sessionId } = await browser.live(1);
  browser.forgetFailures = 2;
  await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId });
  await browser.pass(first - 1);
  expect(browser.forgotten).toEqual([]);
  await browser.pass(1 + second);
  expect(browser.forgotten).toEqual([sessionId]);
  await browser.pass(10 * second);
  expect(browser.forgotten).toEqual([sessionId]);
});
