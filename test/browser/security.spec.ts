import { MODEL } from "./checks/decoder.ts";
import { installRejection } from "./checks/errors.ts";
import { hostTargets, Popup } from "./checks/status.ts";
import { type Browser, expect, openConsentedPage, type Page, test } from "./harness/fixtures.ts";

const DENIED = { typed: true, code: "PERMISSION_DENIED", category: "UNKNOWN" };

async function openPage(browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage(url);
  await page.waitFor("typeof window.holdfast === 'object'");
  await installRejection(page);
  return page;
}

async function countWindows(browser: Browser): Promise<number> {
  return (await browser.targets()).filter(({ url }) => url.startsWith(browser.extensionUrl("popup/consent.html")))
    .length;
}

test.describe("a page without consent", () => {
  test("is refused by the user's no, and again without a question, and both are logged", async ({ launch, site }) => {
    test.setTimeout(120_000);
    const browser = await launch();
    const page = await openPage(browser, `${site.origin}/page.html`);
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
    const page = await openPage(browser, `${site.origin}/page.html`);
    const closing = async () => {
      const window = await browser.attach(({ url }) => url.startsWith(browser.extensionUrl("popup/consent.html")));
      await window.close();
    };
    const [first] = await Promise.all([page.evaluate(() => window.rejection(window.holdfast.connect())), closing()]);
    expect(first).toMatchObject(DENIED);
    expect(await page.evaluate(() => window.rejection(window.holdfast.connect()))).toMatchObject(DENIED);
    expect(await countWindows(browser)).toBe(0);
  });
});

test("withdrawn consent ends the site's sessions and closes their hosts; the next connect asks again", async ({
  launch,
  site,
}) => {
  test.setTimeout(180_000);
  const browser = await launch();
  const page = await openConsentedPage(browser, site.origin);
  await installRejection(page);
  await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    window.kept = { session: await pool.createSession(model, { shards: 2 }) };
  }, MODEL);
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

/**
 * Runs in a page that speaks the client protocol by hand, as a hostile one may: no client library, no `hello` first.
 * Answers what each call was answered.
 */
async function speakByHand(
  extension: string,
  calls: { method: string; params: unknown }[],
): Promise<({ value: unknown } | { error: { code: string; message: string } })[]> {
  const frame = document.createElement("iframe");
  frame.src = `${extension}src/bridge.html`;
  await new Promise((loaded) => {
    frame.addEventListener("load", loaded, { once: true });
    document.documentElement.append(frame);
  });
  const { port1, port2 } = new MessageChannel();
  frame.contentWindow?.postMessage({ holdfast: "connect", protocol: 1 }, "*", [port2]);
  const answers: ({ value: unknown } | { error: { code: string; message: string } })[] = [];
  for (const [id, call] of calls.entries()) {
    answers.push(
      await new Promise((resolve) => {
        port1.onmessage = ({ data }) => {
          if (data.id === id) resolve(data.rpc === "error" ? { error: data.error } : { value: data.value });
        };
        port1.postMessage({ rpc: "call", id, ...call });
      }),
    );
  }
  frame.remove();
  return answers;
}

test("a page of another origin that knows a session's id gets no more from it than from one that does not exist", async ({
  browser,
  page,
  site,
}) => {
  test.setTimeout(180_000);
  const sessionId = await page.evaluate(async (model) => {
    const pool = await window.holdfast.connect();
    const session = await pool.createSession(model, { shards: 1 });
    window.kept = { session };
    return session.id;
  }, MODEL);
  const other = await openConsentedPage(browser, site.otherOrigin);
  const attach = (id: string, secret: string) => ({
    method: "attach",
    params: { sessionId: id, secret, acked: -1, tokenizer: null },
  });
  const request = { promptIds: [1], prompt: null, maxNewTokens: 1, temperature: 0, topK: 0, seed: 0, stopIds: [] };
  const made = "11111111-2222-4333-8444-555555555555";
  const [known, unknown, released, generated] = await other.evaluate(speakByHand, browser.extensionUrl(""), [
    attach(sessionId, made),
    attach(made, made),
    { method: "release", params: { sessionId } },
    { method: "generate", params: { sessionId, base: 0, request, ids: [] } },
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
  const twin = await openPage(browser, `${site.origin}/page.html`);
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
      const answer = await answered;
      frame.remove();
      return answer;
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
    recoveryStrategy: "progressive", executionProviders: null, place: "tab", stateBindings: "auto" };
  const byHand = await speakByHand(${JSON.stringify(extension)}, [
    { method: "open", params: { openId: "x", model: "x", options, tokenizer: null } },
    { method: "attach", params: { sessionId: "x", secret: "x", acked: -1, tokenizer: null } },
  ]);
  parent.postMessage({ seen, byHand: byHand.map((answer) => answer.error?.code ?? "accepted") }, "*");
</script>`;

  test("without an origin (sandboxed) is refused", async ({ browser, page, site }) => {
    const srcdoc = frameScript(`${site.origin}/client/holdfast.js`, browser.extensionUrl(""));
    const answer = await inFrame(page, { sandbox: "allow-scripts", srcdoc });
    expect(answer).toMatchObject({ seen: DENIED, byHand: ["PERMISSION_DENIED", "PERMISSION_DENIED"] });
    // Its sandbox is handed down to the extension's frame in it, which loses origin, storage and extension API with it:
    // this refusal is the only one that nobody can be told of.
    expect(answer).toMatchObject({ seen: { message: expect.stringMatching(/without an origin/) } });
  });

  test("without an origin (a data: URL) is refused, and logged", async ({ browser, page, site }) => {
    const html = frameScript(`${site.origin}/client/holdfast.js`, browser.extensionUrl(""));
    const answer = await inFrame(page, { src: `data:text/html,${encodeURIComponent(html)}` });
    expect(answer).toMatchObject({ seen: DENIED, byHand: ["PERMISSION_DENIED", "PERMISSION_DENIED"] });
    const popup = await Popup.open(browser);
    const { refusals } = await popup.status();
    await popup.close();
    expect(refusals.filter(({ origin }) => origin === "null")).toHaveLength(3);
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
    const popup = await Popup.open(browser);
    const { refusals } = await popup.status();
    await popup.close();
    const logged = refusals.filter(({ origin, reason }) => origin === site.otherOrigin && reason.includes(site.origin));
    expect(logged).toHaveLength(3);
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
