import { describe, expect, it } from "vitest";
import { BROWSER_CHECKPOINT_MS } from "../../../src/base/limits.ts";
import { BRIDGE, FakeBrowser } from "./fake-browser.ts";

async function live(shards: number) {
  const browser = new FakeBrowser();
  const { sessionId } = await browser.live(shards);
  const hosts = () => (browser.session?.stages ?? []).map(({ hostId }) => browser.state.hosts[hostId]);
  const tell = (operationId: string, status: "running" | "completed" | "failed", bridgeId = BRIDGE): void =>
    browser.pool.driverReports(bridgeId).operation({ sessionId, operationId, type: "generation", status });
  const holds = (stage: number, tensorBytes: number, heapBytes: number | null = null): void => {
    const hostId = browser.hostOf(stage);
    const attempt = browser.session?.stages[stage]?.attempt ?? -1;
    browser.reports().resources({ hostId, attempt, resources: { tensorBytes, heapBytes } });
  };
  return { browser, sessionId, hosts, tell, holds };
}

describe("a host of a session", () => {
  it("is a browser of the seed's: its type, and the stage as its model", async () => {
    const { browser, sessionId, hosts } = await live(2);
    expect(hosts()).toMatchObject(
      [0, 1].map((stage) => ({
        browserType: browser.history.reports.ownType,
        status: "running",
        models: { [`${sessionId}/${stage}`]: { model: "model", sessionId, stage } },
        operations: {},
      })),
    );
  });

  it("loads, as an operation that is gone when it is ready", async () => {
    const browser = new FakeBrowser();
    browser.deafFromAttempt = 0;
    browser.open({ shards: 1 }).catch(() => undefined);
    await browser.pass(500);
    const opening = Object.values(browser.state.hosts)[0];
    expect(Object.values(opening?.operations ?? {})).toMatchObject([{ type: "load", status: "running" }]);
    const { hosts } = await live(1);
    expect(hosts()).toMatchObject([{ operations: {} }]);
  });
});

describe("a generation", () => {
  it("is an operation of every host, once however often it is told, and is removed when it ends", async () => {
    const { hosts, tell } = await live(2);
    tell("g", "running");
    tell("g", "running");
    expect(hosts().map((host) => Object.keys(host?.operations ?? {}))).toEqual([["g"], ["g"]]);
    expect(hosts()[0]?.operations["g"]).toMatchObject({ type: "generation", status: "running" });
    tell("g", "completed");
    expect(hosts().map((host) => host?.operations)).toEqual([{}, {}]);
  });

  it("goes over to the host that takes a stage over", async () => {
    const { browser, hosts, tell } = await live(2);
    tell("g", "running");
    const before = browser.hostOf(1);
    await browser.closeTab(1);
    await browser.pass(5_000);
    expect(browser.hostOf(1)).not.toBe(before);
    expect(Object.keys(hosts()[1]?.operations ?? {})).toEqual(["g"]);
    tell("g", "failed");
    expect(hosts().map((host) => host?.operations)).toEqual([{}, {}]);
  });

  it("of a session that the page does not own is not heard", async () => {
    const { hosts, tell } = await live(1);
    tell("g", "running", "bridge-2");
    expect(hosts()[0]?.operations).toEqual({});
  });
});

describe("a host's memory", () => {
  it("is its resources; what was freed is removed", async () => {
    const { hosts, holds } = await live(1);
    holds(0, 4096, 100);
    expect(hosts()[0]?.resources).toEqual({
      tensors: { type: "tensors", bytes: 4096 },
      heap: { type: "heap", bytes: 100 },
    });
    holds(0, 0);
    expect(hosts()[0]?.resources).toEqual({});
  });

  it("is gone with its process, and in the checkpoint from before", async () => {
    const { browser, hosts, holds } = await live(1);
    holds(0, 4096);
    browser.killFrame(0);
    expect(hosts()[0]).toMatchObject({
      resources: {},
      checkpoints: [{ status: "running" }, { status: "running", resources: { tensors: { bytes: 4096 } } }],
    });
  });

  it("is kept in a checkpoint each minute of work", async () => {
    const { browser, hosts, holds } = await live(1);
    holds(0, 1);
    expect(hosts()[0]?.checkpoints).toHaveLength(1);
    holds(0, 2);
    expect(hosts()[0]?.checkpoints).toHaveLength(1);
    await browser.pass(BROWSER_CHECKPOINT_MS);
    holds(0, 3);
    expect(hosts()[0]?.checkpoints).toHaveLength(2);
  });
});
