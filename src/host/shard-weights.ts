import { HoldfastError } from "../base/errors.ts";
import { WEIGHT_KEPT_BYTES_MAX } from "../base/limits.ts";
import { discard } from "../base/post.ts";
import type { WeightPiece } from "../protocol/host.ts";

/**
 * A shard's weights between their arrival and onnxruntime. It copies one after the other into wasm memory, and by the time it asks
 * for the next it has done so: then the one before is freed at once, without waiting for a garbage collection. So at no moment
 * are there two copies of more than one weight.
 */
export class ShardWeights {
  /** A weight that was freed was asked for again. */
  askedAgain = false;
  private readonly weights = new Map<string, Weight>();
  private given: Weight | null = null;

  /** `onTaken`: onnxruntime asks for a weight. */
  constructor(private readonly onTaken: () => void = () => undefined) {}

  /** Takes the piece's buffer: it is empty afterwards. */
  put({ path, length, offset, bytes, isKept }: WeightPiece): void {
    let weight = this.weights.get(path);
    if (weight === undefined) {
      weight = new Weight(length, isKept || length <= WEIGHT_KEPT_BYTES_MAX, (asked) => this.give(asked));
      this.weights.set(path, weight);
    }
    weight.set(bytes, offset);
    discard(bytes.buffer);
  }

  /** As `externalData` of a session. */
  files(): { path: string; data: Uint8Array }[] {
    return [...this.weights].map(([path, data]) => ({ path, data }));
  }

  /** The session is made, or will not be. */
  free(): void {
    for (const weight of this.weights.values()) weight.free();
    this.weights.clear();
    this.given = null;
  }

  private give(weight: Weight): void {
    this.onTaken();
    if (this.given !== weight) this.given?.free();
    this.given = weight.isKept ? null : weight;
    if (!weight.isFreed) return;
    this.askedAgain = true;
    throw new HoldfastError("INTERNAL", "a weight was asked for again after it was freed");
  }
}

/** onnxruntime reads external data through these two members: `byteLength`, then `subarray`, whose result it copies. */
class Weight extends Uint8Array<ArrayBuffer> {
  readonly size: number;
  readonly #asked: (weight: Weight) => void;

  constructor(
    size: number,
    readonly isKept: boolean,
    asked: (weight: Weight) => void,
  ) {
    super(new ArrayBuffer(size));
    this.size = size;
    this.#asked = asked;
  }

  get isFreed(): boolean {
    return this.buffer.byteLength < this.size;
  }

  free(): void {
    if (this.buffer.byteLength > 0) discard(this.buffer);
  }

  override get byteLength(): number {
    return this.size;
  }

  override subarray(begin = 0, end = this.size): Uint8Array<ArrayBuffer> {
    this.#asked(this);
    return new Uint8Array(this.buffer, begin, end - begin);
  }
}
