import type { InferenceSession } from "onnxruntime-common";
import { SPEED_PROBE_GIVE_UP_MS, SPEED_PROBE_MS } from "../base/limits.ts";
import type { MeasuredSpeed } from "../protocol/host.ts";
import type { Provider } from "../protocol/options.ts";

type Ort = typeof import("onnxruntime-common");

/** y = MatMul(x, w): x is float32 [n, 512], w float32 [512, 512] of external data "w" (opset 17). */
export const SPEED_MODEL =
  "CAg6ZAoTCgF4CgF3EgF5IgZNYXRNdWw6ABIBcyocCIAECIAEEAFCAXdqDQoIbG9jYXRpb24SAXdwAVoVCgF4EhAKDggBEgoKAxIBbgoDCIAEYhUKAXkSEAoOCAESCgoDEgFuCgMIgARCBAoAEBE=";
const WIDTH = 512;
const WEIGHT_BYTES = 4 * WIDTH * WIDTH;
/** One row reads all weights and computes little; many rows compute much. */
const ROWS = { bytes: 1, flops: 16 } as const;
/** The first of a shape compiles or packs, and while other hosts start every second one is interrupted. */
const TRIES_MIN = 5;
const TRIES_MAX = 10;
const SEED = 7;
/** Seeded values before they repeat; prime, so that rows of the matrix differ. */
const PERIOD = 4_099;

/**
 * How fast a provider multiplies here, the best of several tries each, in about 15 ms. Null where it cannot, and on a
 * device that is too busy to tell: another host will measure it.
 */
export async function measureSpeed(ort: Ort, provider: Provider, now: () => number): Promise<MeasuredSpeed | null> {
  const start = now();
  const weights = seededFloats(WIDTH * WIDTH);
  try {
    const graph = Uint8Array.from(atob(SPEED_MODEL), (char) => char.charCodeAt(0));
    const session = await ort.InferenceSession.create(graph, {
      executionProviders: [provider],
      externalData: [{ path: "w", data: new Uint8Array(weights.buffer) }],
    });
    const bytesMs = await leastMs(ort, session, weights.slice(0, ROWS.bytes * WIDTH), start, now);
    const flopsMs = bytesMs && (await leastMs(ort, session, weights.slice(0, ROWS.flops * WIDTH), start, now));
    await session.release();
    if (bytesMs === null || flopsMs === null) return null;
    return { bytesPerMs: WEIGHT_BYTES / bytesMs, flopsPerMs: (2 * ROWS.flops * WIDTH * WIDTH) / flopsMs };
  } catch {
    return null;
  }
}

/** Of several runs; null: the time was up. */
async function leastMs(
  ort: Ort,
  session: InferenceSession,
  rows: Float32Array,
  start: number,
  now: () => number,
): Promise<number | null> {
  const x = new ort.Tensor("float32", rows, [rows.length / WIDTH, WIDTH]);
  let least = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const at = now();
    if (at - start > SPEED_PROBE_GIVE_UP_MS) return null;
    if (at - start > SPEED_PROBE_MS && tries >= TRIES_MIN) break;
    await session.run({ x });
    least = Math.min(least, now() - at);
  }
  return Math.max(least, TIMER_MS);
}

/** What the browser's clock can tell apart at best, outside of isolated contexts. */
const TIMER_MS = 0.1;

/** In [-1, 1), repeating after a while: making a million random numbers would take longer than the probe may. */
function seededFloats(length: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(length);
  let state = SEED;
  for (let at = 0; at < Math.min(length, PERIOD); at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    values[at] = state / 2 ** 31 - 1;
  }
  for (let filled = PERIOD; filled < length; filled *= 2)
    values.copyWithin(filled, 0, Math.min(filled, length - filled));
  return values;
}
