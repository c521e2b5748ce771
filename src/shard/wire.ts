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
  #window: Uint8Array = new Uint8Array(0);
  #start = 0;

  constructor(source: RangeReader) {
    this.size = source.size;
    this.#source = source;
  }

  /** A copy of the bytes [offset, offset + length). */
  slice(offset: number, length: number): Uint8Array {
    if (length > WINDOW_BYTES) return this.#read(offset, length);
    this.#load(offset, length);
    return this.#window.slice(offset - this.#start, offset - this.#start + length);
  }

  /** The field at `offset` of a message that ends at `end`, or null if no protobuf field can stand there. */
  field(offset: number, end: number): WireField | null {
    const tag = this.#varint(offset, end);
    if (tag === null) return null;
    const number = Math.floor(tag.value / 8);
    const type = tag.value % 8;
    if (number < 1 || number > 0x1fffffff) return null;
    const start = offset;
    if (type === FIXED64 || type === FIXED32) {
      return { number, type, start, payload: tag.next, next: tag.next + (type === FIXED64 ? 8 : 4), value: 0 };
    }
    if (type !== VARINT && type !== BYTES) return null;
    const count = this.#varint(tag.next, end);
    if (count === null) return null;
    if (type === VARINT) return { number, type, start, payload: tag.next, next: count.next, value: count.value };
    return { number, type, start, payload: count.next, next: count.next + count.value, value: 0 };
  }

  #varint(offset: number, end: number): { value: number; next: number } | null {
    const length = Math.min(10, end - offset);
    if (length <= 0) return null;
    this.#load(offset, length);
    let value = 0;
    for (let i = 0; i < length; i++) {
      const byte = this.#window[offset - this.#start + i] ?? 0;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return { value, next: offset + i + 1 };
    }
    return null;
  }

  #load(offset: number, length: number): void {
    if (offset >= this.#start && offset + length <= this.#start + this.#window.length) return;
    this.#window = this.#read(offset, Math.min(Math.max(length, WINDOW_BYTES), this.size - offset));
    this.#start = offset;
  }

  #read(offset: number, length: number): Uint8Array {
    const bytes = this.#source.read(offset, length);
    // A copy, whatever kind of array it is: Buffer's slice() would be a view.
    if (bytes.length === length) return new Uint8Array(bytes);
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
