import { MODEL } from "./checks/decoder.ts";
import { hostTargets, Popup, statusOf } from "./checks/status.ts";
import { type Browser, expect, openConsentedPage, type Page, test } from "./harness/fixtures.ts";
import { speakByHand } from "./support/by-hand.ts";
import { keepSession, launchConsented, openPage } from "./support/pages.ts";

const DENIED = { typed: true, code: "PERMISSION_DENIED", category: "UNKNOWN" };

/** The window in which the user is asked. */
function consentWindow(browser: Browser): Promise<Page> {
  return browser.attach(({ url }) => url.startsWith(browser.extensionUrl("popup/consent.html")));
}

async function closeWindow(browser: Browser): Promise<void> {
  await (await consentWindow(browser)).close();
}

async function countWindows(browser: Browser): Promise<number> {
  return (await browser.targets()).filter(({ url }) => url.startsWith(browser.extensionUrl("popup/consent.html")))
    .length;
}

/** What the pool logged of an origin's frames inside a site. */
async function refusalsOf(browser: Browser, asking: string, inside: string): Promise<number> {
  const { refusals } = await statusOf(browser);
  return refusals.filter(({ origin, reason }) => origin === asking && reason.includes(inside)).length;
}

test.describe("a page without consent", () => {
  test("is refused by the user's no, and again without a question, and both are logged", async ({ launch, site }) => {
    test.setTimeout(120_000);
    const browser = await launch();
    const page = await openPage(browser, site.origin);
    const [first] = await Promise.all([
      page.evaluate(() => window.rejection(window.holdfast.connect())),
      browser.clickConsent("deny"),
    ]);
    expect(first).toMatchObject(DENIED);
    expect(first?.message).toMatch(/did not allow/);

    const again = await page.evaluate(() => window.rejection(window.holdfast.connect()));
    expect(again).toMatchObject(DENIED);
    expect(again?.message).toMatch(/less than an hour ago/);
    expect(await countWindows(browser)).toBe(0);

    const popup = await Popup.open(browser);
    const { refusals, consents, sessions, hosts } = await popup.status();
    expect(refusals.map(({ origin, code }) => ({ origin, code }))).toEqual([
      { origin: site.origin, code: "PERMISSION_DENIED" },
      { origin: site.origin, code: "PERMISSION_DENIED" },
    ]);
    expect(consents).toMatchObject([{ origin: site.origin, allowed: false }]);
    expect([...sessions, ...hosts, ...(await hostTargets(browser))]).toEqual([]);
  });

  test("is refused when its window is closed, and the user is not asked twice", async ({ launch, site }) => {
    test.setTimeout(120_000);
    const browser = await launch();
    const page = await openPage(browser, site.origin);
    const asked = page.evaluate(() => window.rejection(window.holdfast.connect()));
    const [first] = await Promise.all([asked, closeWindow(browser)]);
    expect(first).toMatchObject(DENIED);
    expect(await page.evaluate(() => window.rejection(window.holdfast.connect()))).toMatchObject(DENIED);
    expect(await countWindows(browser)).toBe(0);
  });
});

test.describe("a user who thinks for longer than the service worker lives", () => {
  /** Asked for consent, then the service worker ended and the bridge asked the next one. */
  async function askedTwice(browser: Browser, page: Page) {
    const connected = page.evaluate(() => window.rejection(window.holdfast.connect()));
    const question = await consentWindow(browser);
    await question.waitFor(`document.querySelector("#allow")?.disabled === false`);
    await question.detach();
    await browser.stopServiceWorker();
    const own = browser.extensionUrl("");
    const isAwake = async () =>
      (await browser.targets()).some(({ type, url }) => type === "service_worker" && url.startsWith(own));
    await expect.poll(isAwake).toBe(true);
    // Long enough for a second window to open.
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_000)));
    expect(await countWindows(browser)).toBe(1);
    // Not awaited with it.
    return { connected };
  }

  test("is asked in one window, and is served", async ({ launch, site }) => {
    test.setTimeout(120_000);
    const browser = await launch();
    const page = await openPage(browser, site.origin);
    const { connected } = await askedTwice(browser, page);
    await browser.clickConsent("allow");
    expect(await connected).toBeNull();
    const { consents, refusals } = await statusOf(browser);
    expect(consents).toMatchObject([{ origin: site.origin, allowed: true }]);
    expect(refusals).toEqual([]);
  });

  test("may close the window, which is a no", async ({ launch, site }) => {
    test.setTimeout(120_000);
    const browser = await launch();
    const page = await openPage(browser, site.origin);
    const { connected } = await askedTwice(browser, page);
    await closeWindow(browser);
    expect(await connected).toMatchObject(DENIED);
    expect(await countWindows(browser)).toBe(0);
  });
});

test("withdrawn consent ends the site's sessions and closes their hosts; the next connect asks again", async ({
  launch,
  site,
}) => {
  test.setTimeout(180_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  await keepSession(page, { shards: 2 });
  const popup = await Popup.open(browser);
  expect((await popup.status()).hosts).toHaveLength(2);

  await popup.call("withdraw", { origin: site.origin });
  const late = await page.evaluate(() => window.rejection(window.kept.session?.run({}, {}) ?? Promise.resolve()));
  expect(late?.typed).toBe(true);
  const { hosts, sessions, consents } = await popup.status();
  expect([...hosts, ...sessions, ...consents]).toEqual([]);
  await expect.poll(() => hostTargets(browser)).toEqual([]);
  const generation = await page.evaluate(() =>
    window.rejection(window.kept.session?.generate([1]).next() ?? Promise.resolve()),
  );
  expect(generation).toMatchObject(DENIED);

  const [answer] = await Promise.all([
    page.evaluate(() => window.rejection(window.holdfast.connect())),
    browser.clickConsent("deny"),
  ]);
  expect(answer).toMatchObject(DENIED);
});

test("a page of another origin that knows a session's id gets no more from it than from one that does not exist", async ({
  browser,
  page,
  site,
}) => {
  test.setTimeout(180_000);
  const sessionId = await keepSession(page, { shards: 1 });
  const other = await openConsentedPage(browser, site.otherOrigin);
  const attach = (id: string, secret: string) => ({
    method: "attach",
    params: { sessionId: id, secret, acked: -1, initialAt: -1, tokenizer: null },
  });
  const request = { promptIds: [1], prompt: null, maxNewTokens: 1, temperature: 0, topK: 0, seed: 0, stopIds: [] };
  const made = "11111111-2222-4333-8444-555555555555";
  const [known, unknown, released, generated] = await other.evaluate(speakByHand, browser.extensionUrl(""), [
    attach(sessionId, made),
    attach(made, made),
    { method: "release", params: { sessionId } },
    { method: "generate", params: { sessionId, base: 0, request, ids: [], from: 0 } },
  ]);
  expect(known).toMatchObject({ error: { code: "SESSION_UNKNOWN" } });
  expect(unknown).toEqual(known);
  expect(released).toEqual({ value: null });
  expect(generated).toMatchObject({ error: { code: "SESSION_UNKNOWN" } });

  const popup = await Popup.open(browser);
  const status = await popup.status();
  await popup.close();
  expect(status.sessions.map(({ status, sessionId: id }) => [id, status])).toContainEqual([sessionId, "live"]);
  expect(
    status.refusals.filter(({ origin, code }) => origin === site.otherOrigin && code === "SESSION_UNKNOWN"),
  ).toHaveLength(2);
  await other.close();

  // The same origin without the secret is no better off, and with it the session is taken while its page lives.
  const twin = await openPage(browser, site.origin);
  const [guess] = await twin.evaluate(speakByHand, browser.extensionUrl(""), [attach(sessionId, made)]);
  expect(guess).toMatchObject({ error: { code: "SESSION_UNKNOWN" } });
  const secret = await page.evaluate(() => {
    const session = window.kept.session as unknown as { info: { secret: string } };
    return session.info.secret;
  });
  const [second] = await twin.evaluate(speakByHand, browser.extensionUrl(""), [attach(sessionId, secret)]);
  expect(second).toMatchObject({ error: { code: "SESSION_IN_USE" } });
  await twin.close();

  // The owner noticed nothing.
  const ids = await page.evaluate(async () => {
    const taken: number[] = [];
    for await (const { id } of window.kept.session?.generate([68, 390], { maxNewTokens: 2 }) ?? []) taken.push(id);
    await window.kept.session?.release();
    return taken;
  });
  expect(ids).toHaveLength(2);
});

test.describe("a frame", () => {
  /** Runs `work` in a frame of the page that `attributes` describe, which has the client library. */
  async function inFrame(page: Page, attributes: Record<string, string>): Promise<unknown> {
    return page.evaluate(async (wanted) => {
      const frame = document.createElement("iframe");
      for (const [name, value] of Object.entries(wanted)) frame.setAttribute(name, value);
      const answered = new Promise<unknown>((resolve) => {
        addEventListener("message", ({ data, source }) => {
          if (source === frame.contentWindow) resolve(data);
        });
      });
      document.body.append(frame);
      return answered;
    }, attributes);
  }

  /** A document that connects, then opens a session without having connected, and tells its parent what it got. */
  const frameScript = (client: string, extension: string) => `<!doctype html><meta charset="utf-8">
<script type="module">
  import { connect, HoldfastError } from ${JSON.stringify(client)};
  const speakByHand = ${speakByHand};
  const seen = await connect().then(() => null, (error) => ({ typed: error instanceof HoldfastError, code: error.code,
    category: error.category, message: error.message }));
  const options = { shards: 1, shardingStrategy: "layer_based", faultToleranceLevel: "medium",
    recoveryStrategy: "progressive", checkpointIntervalMs: 60_000, maxRecoveryAttempts: 3, executionProviders: null, place: "tab",
    stateBindings: "auto" };
  const byHand = await speakByHand(${JSON.stringify(extension)}, [
    { method: "open", params: { openId: "x", model: "x", options, tokenizer: null } },
    { method: "attach", params: { sessionId: "x", secret: "x", acked: -1, initialAt: -1, tokenizer: null } },
  ], true);
  parent.postMessage({ seen, byHand: byHand.map((answer) => answer.error?.code ?? "accepted") }, "*");
</script>`;

  test("without an origin (sandboxed) is refused, and logged", async ({ browser, page, site }) => {
    const before = await refusalsOf(browser, "null", site.origin);
    const srcdoc = frameScript(`${site.origin}/client/holdfast.js`, browser.extensionUrl(""));
    const answer = await inFrame(page, { sandbox: "allow-scripts", srcdoc });
    expect(answer).toMatchObject({ seen: DENIED, byHand: ["PERMISSION_DENIED", "PERMISSION_DENIED"] });
    expect(answer).toMatchObject({ seen: { message: expect.stringMatching(/without an origin/) } });
    // Its sandbox is handed down to the extension's frame in it, which loses origin, storage and extension API with it:
    // the frame logs it in its own console, where the page reads and forges nothing.
    const bridges = (await browser.targets()).filter(({ url }) => url === browser.extensionUrl("src/bridge.html"));
    const consoles = await Promise.all(
      bridges.map(async ({ targetId }) => {
        const frame = await browser.attach((target) => target.targetId === targetId);
        await frame.listen();
        return frame;
      }),
    );
    const logged = () => consoles.flatMap(({ console: lines }) => lines).filter((line) => line.startsWith("warning"));
    await expect.poll(logged).toHaveLength(1);
    expect(logged()[0]).toMatch(/PERMISSION_DENIED: .*use a page of an http or https site/);
    expect(logged()[0]).toContain(`inside null inside ${site.origin}`);
    expect(page.console.filter((line) => line.includes("PERMISSION_DENIED"))).toEqual([]);
    // And this page has a bridge that is not sandboxed, which told the pool: of connect(), and of the knock by hand.
    await expect.poll(() => refusalsOf(browser, "null", site.origin)).toBe(before + 2);
  });

  test("without an origin (a data: URL) is refused, and logged", async ({ browser, page, site }) => {
    const before = await refusalsOf(browser, "null", site.origin);
    const html = frameScript(`${site.origin}/client/holdfast.js`, browser.extensionUrl(""));
    const answer = await inFrame(page, { src: `data:text/html,${encodeURIComponent(html)}` });
    expect(answer).toMatchObject({ seen: DENIED, byHand: ["PERMISSION_DENIED", "PERMISSION_DENIED"] });
    expect(await refusalsOf(browser, "null", site.origin)).toBe(before + 3);
  });

  test("of an allowed site inside another site is refused, whatever it asks first, and logged", async ({
    browser,
    page,
    site,
  }) => {
    const allowed = await openConsentedPage(browser, site.otherOrigin);
    await allowed.close();
    const html = frameScript(`${site.otherOrigin}/client/holdfast.js`, browser.extensionUrl(""));
    const shell = `${site.otherOrigin}/shell.html#${encodeURIComponent(html)}`;
    const answer = await inFrame(page, { src: shell });
    expect(answer).toMatchObject({ seen: DENIED, byHand: ["PERMISSION_DENIED", "PERMISSION_DENIED"] });
    expect(await refusalsOf(browser, site.otherOrigin, site.origin)).toBe(3);
  });

  test("of the same origin is served", async ({ page }) => {
    const connected = `<script type="module">
      import { connect } from "/client/holdfast.js";
      parent.postMessage(await connect().then(() => "connected", (error) => error.code), "*");
    </script>`;
    expect(await inFrame(page, { srcdoc: connected })).toBe("connected");
  });
});

test("a page reaches neither the service worker nor a host, and the bridge ignores what is no knock", async ({
  browser,
  page,
}) => {
  test.setTimeout(120_000);
  const found = await page.evaluate(
    async (extension, model) => {
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, { shards: 1 });
      const [bridge] = [...document.querySelectorAll("iframe")].filter(({ src }) => src.startsWith(extension));
      const answered: string[] = [];
      const knocks: [unknown, number][] = [
        [{ holdfast: "connect" }, 0],
        [{ holdfast: "wire", sessionId: session.id, hostId: session.stages[0]?.hostId, attempt: 0 }, 3],
        [{ holdfast: "pool", message: { rpc: "call", id: 1, method: "hello", params: {} } }, 1],
        [{ to: "driver", poolLost: true }, 1],
        ["connect", 1],
        [null, 1],
      ];
      for (const [message, count] of knocks) {
        const channels = Array.from({ length: count }, () => new MessageChannel());
        for (const { port1 } of channels) {
          port1.onmessage = ({ data }) => answered.push(`${JSON.stringify(message)}: ${JSON.stringify(data)}`);
          port1.postMessage({ rpc: "call", id: 1, method: "ping", params: null });
        }
        bridge?.contentWindow?.postMessage(
          message,
          "*",
          channels.map(({ port2 }) => port2),
        );
      }
      const blocked = async (path: string) => {
        try {
          await fetch(`${extension}${path}`);
          return false;
        } catch {
          return true;
        }
      };
      const framed = document.createElement("iframe");
      framed.src = `${extension}offscreen/host-frame.html`;
      document.body.append(framed);
      await new Promise((loaded) => framed.addEventListener("load", loaded, { once: true }));
      // A host frame says "up" to its parent at once; nothing must come.
      const says = await new Promise((resolve) => {
        addEventListener("message", ({ data }) => resolve(data), { once: true });
        setTimeout(resolve, 1_000, "nothing");
      });
      const runtime = (globalThis as { chrome?: { runtime?: { connect?: unknown; sendMessage?: unknown } } }).chrome
        ?.runtime;
      const outputs = await session.run(
        { input_ids: tensor([68]), attention_mask: tensor([1]), position_ids: tensor([0]) },
        { reset: true },
      );
      await session.release();
      function tensor(values: number[]) {
        return { type: "int64", dims: [1, values.length], data: BigInt64Array.from(values, BigInt) };
      }
      return {
        bridge: bridge !== undefined,
        connect: typeof runtime?.connect,
        sendMessage: typeof runtime?.sendMessage,
        answered,
        blocked: await Promise.all(["popup/popup.html", "offscreen/host-tab.html", "manifest.json"].map(blocked)),
        says,
        logits: outputs["logits"]?.dims,
      };
    },
    browser.extensionUrl(""),
    MODEL,
  );
  expect(found).toEqual({
    bridge: true,
    connect: "undefined",
    sendMessage: "undefined",
    answered: [],
    blocked: [true, true, true],
    says: "nothing",
    logits: [1, 1, 2048],
  });
});
