import { HoldfastError } from "../base/errors.ts";
import { WINDOW_BYTES } from "./limits.ts";
import type { RangeReader } from "./types.ts";

export const VARINT = 0;
const FIXED64 = 1;
export const BYTES = 2;
const FIXED32 = 5;

/** One protobuf field: where it starts, where its payload lies (for a varint: its value) and where the next field starts. */
export interface WireField {
  readonly number: number;
  readonly type: number;
  readonly start: number;
  readonly payload: number;
  readonly next: number;
  /** The value of a varint, reduced to what a double holds exactly; 0 for other wire types. */
  readonly value: number;
}

/** Reads protobuf fields of a file of any size through a small window. */
export class WireReader {
  readonly size: number;
  readonly #source: RangeReader;
  /** The same buffer all along: a new one a read, and millions of small objects, would be most of what planning allocates. */
  readonly #window: Uint8Array;
  #start = 0;
  #length = 0;
  /** What the last #varint read: its value, and where it ended. */
  #value = 0;
  #next = 0;

  constructor(source: RangeReader) {
    this.size = source.size;
    this.#source = source;
    this.#window = new Uint8Array(Math.min(source.size, WINDOW_BYTES));
  }

  /** A copy of the bytes [offset, offset + length). */
  slice(offset: number, length: number): Uint8Array {
    // A copy, whatever kind of array it is: Buffer's slice() would be a view.
    if (length > WINDOW_BYTES) return new Uint8Array(this.#read(offset, length));
    this.#load(offset, length);
    return this.#window.slice(offset - this.#start, offset - this.#start + length);
  }

  /** The field at `offset` of a message that ends at `end`, or null if no protobuf field can stand there. */
  field(offset: number, end: number): WireField | null {
    if (!this.#varint(offset, end)) return null;
    const number = Math.floor(this.#value / 8);
    const type = this.#value % 8;
    const behindTag = this.#next;
    if (number < 1 || number > 0x1fffffff) return null;
    const start = offset;
    if (type === FIXED64 || type === FIXED32) {
      return { number, type, start, payload: behindTag, next: behindTag + (type === FIXED64 ? 8 : 4), value: 0 };
    }
    if (type !== VARINT && type !== BYTES) return null;
    if (!this.#varint(behindTag, end)) return null;
    const [value, next] = [this.#value, this.#next];
    if (type === VARINT) return { number, type, start, payload: behindTag, next, value };
    return { number, type, start, payload: next, next: next + value, value: 0 };
  }

  /** Leaves what it read in #value and #next. */
  #varint(offset: number, end: number): boolean {
    const length = Math.min(10, end - offset);
    if (length <= 0) return false;
    this.#load(offset, length);
    let value = 0;
    for (let i = 0; i < length; i++) {
      const byte = this.#window[offset - this.#start + i] ?? 0;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte >= 0x80) continue;
      this.#value = value;
      this.#next = offset + i + 1;
      return true;
    }
    return false;
  }

  #load(offset: number, length: number): void {
    if (offset >= this.#start && offset + length <= this.#start + this.#length) return;
    // What is asked for beyond the end of the file fails in the read.
    const wanted = Math.max(length, Math.min(WINDOW_BYTES, this.size - offset));
    this.#length = 0;
    this.#window.set(this.#read(offset, wanted));
    this.#start = offset;
    this.#length = wanted;
  }

  #read(offset: number, length: number): Uint8Array {
    const bytes = this.#source.read(offset, length);
    if (bytes.length === length) return bytes;
    const message = `the file is truncated: ${length} bytes were asked for at byte ${offset}, ${bytes.length} came; download it again`;
    throw new HoldfastError("BAD_MODEL", message);
  }
}

/** Collects the parts of a message, so that its length is known before it is written into its parent. */
export class WireWriter {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.length += bytes.length;
  }

  varint(number: number, value: number): void {
    this.raw(encodeVarints(number * 8 + VARINT, value));
  }

  bytes(number: number, payload: Uint8Array): void {
    this.raw(encodeVarints(number * 8 + BYTES, payload.length));
    this.raw(payload);
  }

  message(number: number, body: WireWriter): void {
    this.raw(encodeVarints(number * 8 + BYTES, body.length));
    for (const part of body.#parts) this.#parts.push(part);
    this.length += body.length;
  }

  finish(): Uint8Array {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

function encodeVarints(...values: readonly number[]): Uint8Array {
  const bytes: number[] = [];
  for (let value of values) {
    for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
    bytes.push(value);
  }
  return Uint8Array.from(bytes);
}
