/** Ten thousand runs that each keep their state under a handle and dispose of an older one: nothing piles up. */
import { readFileSync } from "node:fs";
import { expect, type Page, test } from "./harness/fixtures.ts";

const RUNS = 10_000;
const SAMPLES = 20;
/**
 * Samples that do not count: bounded histories fill, and V8 compiles, which it keeps in the same heap. Of two snapshots of the
 * page's heap, after 6 000 and 9 500 runs, the later one had more compiled code; and more runs not yet durable, whose number is
 * bounded.
 */
const WARM_SAMPLES = 20;
/** Handles that live at any time. */
const ALIVE = 4;
const SLOPE_MAX = 0.01;

interface Sample {
  readonly runs: number;
  /** Bytes that only the host's process has: wasm memory, its heap, all else. */
  readonly process: number;
  readonly hostHeap: number;
  readonly pageHeap: number;
  /** As the host last told: it may have been between a run and the disposal that follows it. */
  readonly tensors: number;
}

/** What may not grow. */
const PARTS = ["process", "hostHeap", "pageHeap"] as const;

declare global {
  interface Window {
    soak: { run(count: number): Promise<void>; end(): Promise<void>; tensors(): Promise<number> };
  }
}

/** Bytes that each run adds: the least-squares slope, so that one high sample counts little. */
function bytesARun(samples: readonly Sample[], of: (sample: Sample) => number): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(samples.map(({ runs }) => runs)), mean(samples.map(of))];
  const over = samples.reduce((sum, sample) => sum + (sample.runs - x) * (of(sample) - y), 0);
  const under = samples.reduce((sum, sample) => sum + (sample.runs - x) ** 2, 0);
  return over / under;
}

function privateBytes(pid: number): number {
  const smaps = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const parts = [...smaps.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)];
  return parts.reduce((sum, [, kilobytes]) => sum + Number(kilobytes) * 1_024, 0);
}

/** Bytes of live objects after collections: what only finalizers let go of takes more than one. */
async function liveHeap(target: Page): Promise<number> {
  for (let times = 0; times < 3; times++) await target.send("HeapProfiler.collectGarbage", {}, 60_000);
  return (await target.send("Runtime.getHeapUsage")).usedSize as number;
}

test("10 000 runs that keep a state and dispose of it leave no byte behind @long", async ({ browser, page }) => {
  test.setTimeout(900_000);
  const hostId = await page.evaluateWithin(
    120_000,
    async (alive) => {
      const pool = await window.holdfast.connect();
      const options = { shards: 1, executionProviders: ["wasm"], stateBindings: { state: "stateN" } } as const;
      const session = await pool.createSession("/models/vad/silero_vad_v5.onnx", options);
      const sr = { type: "int64", dims: [], data: BigInt64Array.of(16_000n) };
      const sound = Float32Array.from({ length: 512 }, (_, at) => Math.sin(at / 7));
      const input = { type: "float32", dims: [1, 512], data: sound };
      const kept: Awaited<ReturnType<typeof session.keepState>>[] = [];
      window.soak = {
        run: async (count) => {
          for (let run = 0; run < count; run++) {
            const from = kept.at(-1);
            const { state } = await session.run({ input, sr }, { keep: true, ...(from === undefined ? {} : { from }) });
            kept.push(state);
            if (kept.length > alive) kept.shift()?.dispose();
          }
        },
        tensors: async () => (await pool.getMetrics()).resources.tensorBytes,
        end: () => session.release(),
      };
      return session.stages[0]?.hostId ?? "";
    },
    ALIVE,
  );
  const pid = await browser.processes.pidOfHost(hostId);
  const frame = await browser.attach(({ url }) => url.includes(`host-frame.html?host=${hostId}`));
  const run = (count: number) => page.evaluateWithin(300_000, (many) => window.soak.run(many), count);
  const all: Sample[] = [];
  for (let sample = 0; sample <= WARM_SAMPLES + SAMPLES; sample++) {
    await run(RUNS / SAMPLES);
    const [hostHeap, pageHeap] = [await liveHeap(frame), await liveHeap(page)];
    const tensors = await page.evaluate(() => window.soak.tensors());
    all.push({ runs: (sample * RUNS) / SAMPLES, process: privateBytes(pid), hostHeap, pageHeap, tensors });
  }
  const samples = all.slice(WARM_SAMPLES);
  await frame.detach();
  await page.evaluate(() => window.soak.end());
  const first = samples[0] as Sample;
  const slopes = PARTS.map((part) => (bytesARun(samples, (sample) => sample[part]) * RUNS) / first[part]);
  const told = PARTS.map((part, at) => `${part}: ${first[part]} bytes, ${((slopes[at] ?? 0) * 100).toFixed(3)} %`);
  console.log(`over ${RUNS} runs: ${told.join("; ")}`);
  console.log(all.map((sample) => Object.values(sample).join(" ")).join("\n"));
  expect(Math.max(...slopes)).toBeLessThanOrEqual(SLOPE_MAX);
  const most = (part: readonly Sample[]) => Math.max(...part.map(({ tensors }) => tensors));
  expect(most(samples.slice(-SAMPLES / 2))).toBeLessThanOrEqual(most(samples.slice(0, SAMPLES / 2)) * (1 + SLOPE_MAX));
});
