import { describe, expect, it } from "vitest";
import { BrowserCopies } from "../../../../src/page/seed/browser-copies.ts";
import type { HostResources } from "../../../../src/protocol/host.ts";
import type { KnownBrowsers, OriginNews } from "../../../../src/protocol/origin.ts";
import { BRIDGE, FakeBrowser, ORIGIN } from "../../pool/fake-browser.ts";

const OWN = { bridgeId: BRIDGE, origin: ORIGIN, framedBy: null };

/** A page with copies of two hosts' states, and all that the pool answered it. */
async function following() {
  const browser = new FakeBrowser();
  await browser.live(2);
  const copies = new BrowserCopies();
  const answers: OriginNews[] = [];
  const ask = async (known: KnownBrowsers, change = (news: OriginNews): OriginNews => news): Promise<OriginNews> => {
    const news = await browser.calls().originStatus({ ...OWN, known });
    answers.push(news);
    return change(structuredClone(news));
  };
  const follow = (change?: (news: OriginNews) => OriginNews) => copies.status((known) => ask(known, change));
  const expected = () =>
    Object.values(browser.state.hosts).map(({ hostId, status, models, operations, resources, metrics }) => {
      return { browserId: hostId, status, models, operations, resources, metrics };
    });
  return { browser, answers, follow, expected };
}

function memoryOf(browser: FakeBrowser, stage: number, resources: HostResources): void {
  const { hostId = "", attempt = -1 } = browser.session?.stages[stage] ?? {};
  browser.reports().resources({ hostId, attempt, resources });
}

const kinds = ({ browsers }: OriginNews): string[] =>
  browsers.map(({ content }) => ("delta" in content ? "delta" : "whole"));

describe("a page's copies of its hosts' states", () => {
  it("come whole at first, then as what has changed", async () => {
    const { browser, answers, follow, expected } = await following();
    expect((await follow()).browsers).toMatchObject(expected());
    memoryOf(browser, 0, { tensorBytes: 4_096, heapBytes: 512 });
    expect((await follow()).browsers).toMatchObject(expected());
    expect(answers.map(kinds)).toEqual([
      ["whole", "whole"],
      ["delta", "delta"],
    ]);
    const [changed, same] = answers[1]?.browsers ?? [];
    const put = changed !== undefined && "delta" in changed.content ? changed.content.delta.put : {};
    expect(Object.keys(put)).toEqual(["resources"]);
    expect(same?.content).toMatchObject({ delta: { put: {}, remove: {}, status: null } });
  });

  it("are asked for whole again where a delta was damaged on its way", async () => {
    const { browser, answers, follow, expected } = await following();
    await follow();
    memoryOf(browser, 0, { tensorBytes: 8_192, heapBytes: null });
    let damages = 1;
    const status = await follow((news) =>
      damages-- > 0 ? (JSON.parse(JSON.stringify(news).replace("8192", "8193")) as OriginNews) : news,
    );
    expect(status.browsers).toMatchObject(expected());
    expect(answers.map((news) => kinds(news)[0])).toEqual(["whole", "delta", "whole"]);
  });

  it("are not believed where the whole was damaged", async () => {
    const { follow } = await following();
    const damage = (news: OriginNews): OriginNews =>
      JSON.parse(JSON.stringify(news).replace(/"status":"\w+","models"/, '"status":"failed","models"')) as OriginNews;
    await expect(follow(damage)).rejects.toMatchObject({ code: "STATE_LOST" });
  });

  it("come whole from a pool that has forgotten what it told, and for hosts that are new", async () => {
    const { browser, answers, follow, expected } = await following();
    await follow();
    await browser.restartWorker();
    expect((await follow()).browsers).toMatchObject(expected());
    expect(answers.map(kinds)).toEqual([
      ["whole", "whole"],
      ["whole", "whole"],
    ]);
  });

  it("asked for twice at once are right", async () => {
    const { browser, follow, expected } = await following();
    await follow();
    memoryOf(browser, 1, { tensorBytes: 1, heapBytes: 2 });
    const [first, second] = await Promise.all([follow(), follow()]);
    expect(first.browsers).toMatchObject(expected());
    expect(second.browsers).toMatchObject(expected());
  });
});
