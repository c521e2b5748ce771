import { describe, expect, it } from "vitest";
import { WarmState } from "../../../src/host/warm-state.ts";
import type { RunSample } from "../../../src/protocol/host.ts";

const KEY = { sessionId: "s", stage: 0, planId: "p", weights: "w" };

interface Row {
  readonly digest: string;
  readonly previous: number | null;
}

/** Storage as several keepers share it, and a frame that notes what it has. */
function room(rows: Record<number, Row> = {}) {
  const stored = new Map(Object.entries(rows).map(([run, row]) => [Number(run), row]));
  const damaged = new Set<number>();
  const frame = new Map<number, string>();
  const read: number[] = [];
  const practised: number[] = [];
  let changed = (_sample?: RunSample): void => undefined;
  const state = new WarmState(
    {
      checkpointDigests: async () => new Map([...stored].map(([run, { digest }]) => [run, digest])),
      checkpoint: async (_, run) => {
        read.push(run);
        const row = stored.get(run);
        if (row === undefined || damaged.has(run)) return null;
        return { record: { run, previous: row.previous, state: null, kept: [], versions: [] }, digest: row.digest };
      },
      followCheckpoints: (_, told) => {
        changed = told;
        return () => {
          changed = () => undefined;
        };
      },
    },
    KEY,
    {
      warm: ({ run }) => void frame.set(run, stored.get(run)?.digest ?? ""),
      practise: ({ after }) => void practised.push(after),
      cool: (runs) => {
        for (const run of runs) frame.delete(run);
      },
    },
  );
  return { state, stored, damaged, frame, read, practised, change: (sample?: RunSample) => changed(sample) };
}

const turns = async () => {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
};

describe("the warm state of a standby", () => {
  it("begins with what is stored, and takes each record once", async () => {
    const { stored, frame, read, change } = room({ 0: { digest: "a", previous: null } });
    await turns();
    stored.set(16, { digest: "b", previous: 0 });
    change();
    change();
    await turns();
    expect([...frame]).toEqual([
      [0, "a"],
      [16, "b"],
    ]);
    expect(read).toEqual([0, 16]);
  });
  it("practises once, with the first run whose records it has", async () => {
    const { stored, practised, damaged, change } = room({ 0: { digest: "a", previous: null } });
    const sampleAfter = (run: number): RunSample => ({ after: run, inputs: {} });
    change();
    await turns();
    expect(practised).toEqual([]);
    damaged.add(8);
    stored.set(8, { digest: "b", previous: 0 });
    change(sampleAfter(8));
    await turns();
    expect(practised).toEqual([]);
    damaged.clear();
    stored.set(16, { digest: "c", previous: 8 });
    change(sampleAfter(8));
    change();
    await turns();
    change(sampleAfter(16));
    await turns();
    expect(practised).toEqual([8]);
  });
  it("leads to a run by a chain without a gap, of which nothing is asked for again", async () => {
    const { state, stored, read } = room({ 0: { digest: "a", previous: null }, 32: { digest: "c", previous: 16 } });
    await turns();
    expect(await state.leadsTo(32)).toBe(false);
    expect(await state.leadsTo(48)).toBe(false);
    stored.set(16, { digest: "b", previous: 0 });
    expect(await state.leadsTo(32)).toBe(true);
    expect(read).toEqual([0, 32, 16]);
  });
  it("is never that of a course of runs that was given up, although nobody told of it", async () => {
    const { state, stored, frame } = room({ 0: { digest: "a", previous: null }, 16: { digest: "b", previous: 0 } });
    await turns();
    stored.set(16, { digest: "other", previous: 0 });
    expect(await state.leadsTo(16)).toBe(true);
    expect(frame.get(16)).toBe("other");
  });
  it("leaves out what is damaged", async () => {
    const { state, damaged, stored, frame } = room({ 0: { digest: "a", previous: null } });
    damaged.add(16);
    stored.set(16, { digest: "b", previous: 0 });
    expect([await state.leadsTo(16), await state.leadsTo(0), frame.has(16)]).toEqual([false, true, false]);
  });
  it("stands still once its host has taken over", async () => {
    const { state, stored, frame, change } = room();
    await turns();
    state.stop();
    stored.set(0, { digest: "a", previous: null });
    change();
    await turns();
    expect(frame.size).toBe(0);
  });
});
