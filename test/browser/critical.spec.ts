/** Level critical in a real browser: three hosts run each stage, the majority's answer counts, and whoever lies is replaced. */
import { type Browser, expect, test } from "./harness/fixtures.ts";
import { eventsOf, expectUndisturbed, generate, openMoby, REFERENCE, release } from "./support/moby.ts";

const [first, second, third] = REFERENCE as [
  (typeof REFERENCE)[number],
  (typeof REFERENCE)[number],
  (typeof REFERENCE)[number],
];

test.describe.configure({ timeout: 240_000 });

test("level critical: one host of six lies, another is killed, and the stream is the undisturbed one", async ({
  browser,
  page,
}) => {
  const hosts = await openMoby(page, { shards: 2, faultToleranceLevel: "critical" });
  expect(hosts).toHaveLength(6);
  // The second host of the first stage: what it sends on has one wrong bit from here on.
  const liar = hosts[2] ?? "";
  await makeLiar(browser, liar);
  expectUndisturbed(await generate(page, first.prompt), first);
  // Beside it a host may seem lost where seven renderers share two cores.
  const outvoted = (await eventsOf(page, "fault")).filter(({ signal }) => signal.startsWith("outvoted"));
  expect(outvoted).toMatchObject([
    { stage: 2, hostId: liar, signal: expect.stringMatching(/^outvoted: its answer to run/) },
  ]);
  const recovered = async () => (await eventsOf(page, "recovered")).map(({ stage }) => stage);
  await expect.poll(replaced(browser, liar), { timeout: 60_000 }).toBe(true);

  const streaming = generate(page, second.prompt);
  await browser.processes.killFrame(hosts[3] ?? "");
  expectUndisturbed(await streaming, second);
  await expect.poll(recovered, { timeout: 60_000 }).toEqual(expect.arrayContaining([2, 3]));
  // Both are back, and vote again.
  expectUndisturbed(await generate(page, third.prompt), third);
  const guarantees = await page.evaluate(() => window.underTest.session.guarantees);
  expect(guarantees.exact).toBe(true);
  expect(guarantees.reason).toMatch(/3 hosts run each stage and vote.*bit for bit/);
  expect(new Set(guarantees.crashDomains).size).toBe(6);
  expect((await eventsOf(page, "fault")).map(({ stage }) => stage)).toEqual(expect.arrayContaining([2, 3]));
  await release(page);
});

/** From now on one bit of every tensor that this host sends is wrong: of its last element, the lowest. */
async function makeLiar(browser: Browser, hostId: string): Promise<void> {
  const frame = await browser.attach(({ url }) => url.includes("host-frame.html") && url.includes(hostId));
  await frame.evaluate(() => {
    const post = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (this: MessagePort, message: unknown, ...rest: never[]) {
      const { tensors } = (message ?? {}) as { readonly tensors?: Record<string, { readonly data: Float32Array }> };
      for (const { data } of Object.values(tensors ?? {})) {
        if (!(data instanceof Float32Array)) continue;
        const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
        view.setUint32(data.byteLength - 4, view.getUint32(data.byteLength - 4, true) ^ 1, true);
      }
      return post.call(this, message, ...rest);
    } as typeof post;
  });
  await frame.detach();
}

function replaced(browser: Browser, hostId: string): () => Promise<boolean> {
  return async () => !(await browser.targets()).some(({ url }) => url.includes(hostId));
}
