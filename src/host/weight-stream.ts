import { HoldfastError } from "../base/errors.ts";
import { WEIGHT_PIECE_BYTES, WEIGHTS_IN_FLIGHT_BYTES_MAX } from "../base/limits.ts";
import type { WeightPiece } from "../protocol/host.ts";
import type { RangeReader, ShardWeight } from "../shard/types.ts";

/** A stored file, read in place; nobody may write to it before it is closed. */
export interface OpenBlob extends RangeReader {
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

export interface WeightStreamNeeds {
  /** The file of a WeightRange. */
  open(file: string): Promise<OpenBlob>;
  /** Resolves once the piece has arrived; its bytes may be transferred. */
  send(piece: WeightPiece): Promise<unknown>;
  onBytes(loadedBytes: number, totalBytes: number): void;
}

/**
 * Sends a shard's weights in pieces, so that neither side ever holds a second copy of one, and no more of them at once than
 * WEIGHTS_IN_FLIGHT_BYTES_MAX.
 * @throws HoldfastError BAD_MODEL if a weight lies outside its file.
 */
export async function streamWeights(
  weights: readonly ShardWeight[],
  keepsAll: boolean,
  needs: WeightStreamNeeds,
): Promise<void> {
  const totalBytes = weights.reduce((sum, { length }) => sum + length, 0);
  const blobs = new Map<string, OpenBlob>();
  const flying: { readonly sent: Promise<unknown>; readonly bytes: number }[] = [];
  let [flyingBytes, loadedBytes] = [0, 0];
  const land = async (bytesMax: number): Promise<void> => {
    while (flyingBytes > bytesMax) {
      const first = flying.shift();
      if (first === undefined) return;
      await first.sent;
      flyingBytes -= first.bytes;
      loadedBytes += first.bytes;
      needs.onBytes(loadedBytes, totalBytes);
    }
  };
  try {
    for (const { path, file, offset, length, isShared = false } of weights) {
      const blob = blobs.get(file) ?? (await needs.open(file));
      blobs.set(file, blob);
      // An empty weight is one empty piece.
      for (let at = 0; at === 0 || at < length; at += WEIGHT_PIECE_BYTES) {
        const size = Math.min(WEIGHT_PIECE_BYTES, length - at);
        await land(WEIGHTS_IN_FLIGHT_BYTES_MAX - size);
        const bytes = readAll(blob, offset + at, size);
        const sent = needs.send({ path, length, offset: at, bytes, isKept: keepsAll || isShared });
        // Whoever waits for it hears of its failure; those behind it end with the same one.
        sent.catch(() => undefined);
        flying.push({ sent, bytes: size });
        flyingBytes += size;
      }
    }
    await land(0);
  } finally {
    for (const blob of blobs.values()) blob.close();
  }
}

function readAll(blob: OpenBlob, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = blob.read(offset, length);
  if (bytes.length === length) return bytes;
  const where = `${length} bytes at ${offset} of ${blob.size}`;
  throw new HoldfastError("BAD_MODEL", `A weight lies outside its file (${where}). Give the complete file.`);
}
