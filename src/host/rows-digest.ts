import { byteLengthOf, bytesOf } from "../base/bytes.ts";
import { SAMPLE_BYTES_MAX } from "../base/limits.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { ShardSpec } from "../shard/types.ts";
import { rowsFrom } from "../state/delta.ts";
import { writtenRows } from "./written-rows.ts";

/**
 * Digest of what a run leaves in its host: of its state the rows that it wrote where rows are appended and all of it
 * elsewhere, and of outputs that do not go on (`withheld`: kept under handles). Any one changed word changes it; it is a
 * check on memory and arithmetic, not on whoever might forge it. `inputs` are the run's, with the state before it.
 */
export function rowsDigest(
  { state, shapes }: Pick<ShardSpec, "state" | "shapes">,
  inputs: WireTensors,
  outputs: WireTensors,
  withheld: readonly string[] = [],
): string {
  const digest = new Digest();
  const values = { ...inputs, ...outputs };
  for (const binding of state) {
    const { input, output, appendAxis, written } = binding;
    const tensor = outputs[output];
    if (tensor === undefined) continue;
    digest.text(`${output} ${tensor.type} ${tensor.dims}`);
    if (appendAxis === null) {
      digest.bytes(bytesOf(tensor));
      continue;
    }
    // A buffer of fixed length has rows beyond the past; which of them are new its graph says.
    const past = written === undefined ? (inputs[input.name]?.dims[appendAxis] ?? 0) : Number.POSITIVE_INFINITY;
    const { from, used } = writtenRows(binding, tensor, past, values, shapes);
    digest.bytes(bytesOf(rowsFrom(tensor, appendAxis, from, used)));
  }
  for (const name of withheld) {
    const tensor = outputs[name];
    if (tensor === undefined) continue;
    digest.text(`${name} ${tensor.type} ${tensor.dims}`);
    digest.bytes(bytesOf(tensor));
  }
  return digest.hex;
}

/** Digest of tensors by name, whatever their order. */
export function tensorsDigest(tensors: Iterable<readonly [string, WireTensors]>): string {
  const digest = new Digest();
  for (const [key, group] of tensors) {
    digest.text(key);
    for (const [name, tensor] of Object.entries(group).sort(([a], [b]) => (a < b ? -1 : 1))) {
      digest.text(`${name} ${tensor.type} ${tensor.dims}`);
      digest.bytes(bytesOf(tensor));
    }
  }
  return digest.hex;
}

/** Digest of what a run gave; null: it is so large that it would take long. */
export function answerDigest(tensors: WireTensors): string | null {
  return byteLengthOf(tensors) > SAMPLE_BYTES_MAX ? null : tensorsDigest([["", tensors]]);
}

/** Two lanes, each of which is a bijection of what it was at every word, so that no single change can vanish. */
class Digest {
  private a = 0x811c9dc5;
  private b = 0x9e3779b9;

  private word(value: number): void {
    this.a = Math.imul(this.a ^ value, 0x01000193);
    this.a ^= this.a >>> 15;
    this.b = Math.imul((this.b << 13) | (this.b >>> 19), 0x85ebca6b) ^ Math.imul(value, 0xc2b2ae35);
  }

  bytes(bytes: Uint8Array): void {
    this.word(bytes.length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const whole = bytes.length & ~3;
    for (let at = 0; at < whole; at += 4) this.word(view.getInt32(at, true));
    for (let at = whole; at < bytes.length; at++) this.word(bytes[at] as number);
  }

  text(text: string): void {
    this.bytes(new TextEncoder().encode(text));
  }

  get hex(): string {
    return [this.a, this.b].map((lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
