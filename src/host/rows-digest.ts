import { bytesOf } from "../base/bytes.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { ShardSpec } from "../shard/types.ts";
import { rowsFrom } from "../state/delta.ts";

/**
 * Digest of what a run leaves in its host: of its state the new rows where rows are appended and all of it elsewhere, and of
 * outputs that do not go on (`withheld`: kept under handles). Any one changed word changes it; it is a check on memory
 * and arithmetic, not on whoever might forge it. `inputs` are the run's, with the state before it.
 */
export function rowsDigest(
  { state }: Pick<ShardSpec, "state">,
  inputs: WireTensors,
  outputs: WireTensors,
  withheld: readonly string[] = [],
): string {
  const digest = new Digest();
  for (const { input, output, appendAxis } of state) {
    const tensor = outputs[output];
    if (tensor === undefined) continue;
    const before = appendAxis === null ? 0 : (inputs[input.name]?.dims[appendAxis] ?? 0);
    digest.text(`${output} ${tensor.type} ${tensor.dims}`);
    digest.bytes(bytesOf(appendAxis === null ? tensor : rowsFrom(tensor, appendAxis, before)));
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
