import { SPEED_PROBE_MS } from "../base/limits.ts";
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
/** The first of a shape compiles or packs, and on a busy device one of two is interrupted: fewer tries tell nothing. */
const TRIES_MIN = 3;
const TRIES_MAX = 6;
const SEED = 7;
/** Seeded values before they repeat; prime, so that rows of the matrix differ. */
const PERIOD = 4_099;

/**
 * How fast a provider multiplies here, the best of three to six tries each, in about 15 ms. Null where it cannot: a speed
 * is worth nothing that a host would die for.
 */
export async function measureSpeed(ort: Ort, provider: Provider, now: () => number): Promise<MeasuredSpeed | null> {
  const until = now() + SPEED_PROBE_MS;
  const weights = seededFloats(WIDTH * WIDTH);
  try {
    const graph = Uint8Array.from(atob(SPEED_MODEL), (char) => char.charCodeAt(0));
    const session = await ort.InferenceSession.create(graph, {
      executionProviders: [provider],
      externalData: [{ path: "w", data: new Uint8Array(weights.buffer) }],
    });
    const best = async (rows: number): Promise<number> => {
      const x = new ort.Tensor("float32", weights.slice(0, rows * WIDTH), [rows, WIDTH]);
      let leastMs = Number.POSITIVE_INFINITY;
      for (let tries = 0; tries < TRIES_MAX && (tries < TRIES_MIN || now() < until); tries++) {
        const start = now();
        await session.run({ x });
        leastMs = Math.min(leastMs, now() - start);
      }
      return Math.max(leastMs, TIMER_MS);
    };
    const speed = {
      bytesPerMs: WEIGHT_BYTES / (await best(ROWS.bytes)),
      flopsPerMs: (2 * ROWS.flops * WIDTH * WIDTH) / (await best(ROWS.flops)),
    };
    await session.release();
    return speed;
  } catch {
    return null;
  }
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
