import { expect, test } from "./fixtures.ts";
import { underLoad } from "./load.ts";

test("a browser starts with the extension, and again on the profile of one that was killed", async ({ launch }) => {
  const first = await launch();
  expect(first.extensionId).toMatch(/^[a-p]{32}$/);
  await first.kill();
  const second = await launch({ userDataDir: first.userDataDir });
  expect(second.extensionId).toBe(first.extensionId);
  expect(second.pid).not.toBe(first.pid);
});

test("the service worker is really stopped", async ({ browser }) => {
  const worker = async () =>
    (await browser.targets()).find(
      ({ type, url }) => type === "service_worker" && url.startsWith(browser.extensionUrl("")),
    );
  const page = await browser.newPage(browser.extensionUrl("popup/consent.html"));
  // Wakes it, should it sleep.
  await page.evaluate(() => chrome.runtime.sendMessage({ holdfast: "status", params: null }));
  await expect.poll(worker).toBeDefined();
  const before = (await worker())?.targetId;
  await browser.stopServiceWorker();
  // The closing of the tab that the order went through may have woken a new one already.
  await expect.poll(async () => (await worker())?.targetId).not.toBe(before);
  await page.close();
});

test("a page's process is found on a busy machine, and dies by SIGKILL while the browser lives", async ({
  browser,
  site,
}) => {
  const page = await browser.newPage(`${site.otherOrigin}/blank.html`);
  const pid = await underLoad(2, () => browser.processes.pidOfPage(page.targetId));
  expect(await browser.processes.rendererPids()).toContain(pid);
  browser.processes.kill(pid);
  await expect.poll(() => browser.processes.rendererPids()).not.toContain(pid);
  await page.close();
});

test("the site answers ranges and misbehaves on request", async ({ browser, site }) => {
  const page = await browser.newPage(`${site.origin}/blank.html`);
  const model = "/models/moby-llama/onnx/model.onnx";
  const before = site.requests(model);
  const range = await page.evaluate(async () => {
    const response = await fetch("/models/moby-llama/onnx/model.onnx", { headers: { range: "bytes=10-19" } });
    return {
      status: response.status,
      range: response.headers.get("content-range"),
      bytes: (await response.arrayBuffer()).byteLength,
    };
  });
  expect(range).toMatchObject({ status: 206, bytes: 10 });
  expect(range.range).toMatch(/^bytes 10-19\/\d+$/);
  expect(await page.evaluate(async () => (await fetch("/nowhere.onnx")).status)).toBe(404);
  expect(site.requests(model)).toBe(before + 1);
  await page.close();
});
