import { HoldfastError } from "../base/errors.ts";
import { tensorBytes } from "./element-types.ts";
import { INLINE_BYTES_MAX } from "./limits.ts";
import { BYTES, type WireField, type WireReader, WireWriter } from "./wire.ts";

/** TensorProto's field numbers (onnx.proto3). */
const DIMS = 1;
const DATA_TYPE = 2;
const FLOAT_DATA = 4;
const RAW_DATA = 9;
const DOUBLE_DATA = 10;
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;
const EXTERNAL = 1;
/** Packed data that has the byte order of raw_data, by field → the data type it has to have. */
const PACKED_AS_RAW: Readonly<Record<number, number>> = { [FLOAT_DATA]: 1, [DOUBLE_DATA]: 11 };

/** Copies a TensorProto; a large payload is replaced by external_data that points at its bytes. Adds named files to `files`. */
export function writeTensor(wire: WireReader, all: readonly WireField[], files: Set<string>): WireWriter {
  const dataType = all.findLast((field) => field.number === DATA_TYPE)?.value ?? 0;
  const dims = all.filter((field) => field.number === DIMS).flatMap((field) => readInts(wire, field));
  const isExternal = all.findLast((field) => field.number === DATA_LOCATION)?.value === EXTERNAL;
  const copy = new WireWriter();
  for (const field of all) {
    if (field.number === DATA_LOCATION || field.number === EXTERNAL_DATA) continue;
    const length = field.next - field.payload;
    const isPayload = field.number === RAW_DATA || PACKED_AS_RAW[field.number] === dataType;
    if (isPayload && field.type === BYTES && length > INLINE_BYTES_MAX) {
      writeExternal(copy, { location: "", offset: field.payload, length });
    } else {
      copy.raw(wire.slice(field.start, field.next - field.start));
    }
  }
  if (isExternal) {
    const entries = all.filter((field) => field.number === EXTERNAL_DATA).map((field) => readEntry(wire, field));
    const range = externalRange(new Map(entries), tensorBytes(dataType, dims));
    files.add(range.location);
    writeExternal(copy, range);
  }
  return copy;
}

interface Range {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

function externalRange(entries: ReadonlyMap<string, string>, bytes: number): Range {
  const location = entries.get("location") ?? "";
  const offset = Number(entries.get("offset") ?? "0");
  const length = Number(entries.get("length") ?? bytes);
  const isInside = location !== "" && !/^[/\\]|^[a-z]+:|(^|[/\\])\.\.([/\\]|$)/i.test(location);
  if (isInside && Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0) {
    return { location, offset, length };
  }
  const place = `location ${JSON.stringify(location)}, offset ${offset}, length ${length}`;
  throw new HoldfastError("BAD_MODEL", `a weight's external data is invalid (${place}): export the model again`);
}

function writeExternal(copy: WireWriter, range: Range): void {
  for (const [key, value] of Object.entries(range)) {
    const entry = new WireWriter();
    entry.bytes(1, new TextEncoder().encode(key));
    entry.bytes(2, new TextEncoder().encode(String(value)));
    copy.message(EXTERNAL_DATA, entry);
  }
  copy.varint(DATA_LOCATION, EXTERNAL);
}

function readEntry(wire: WireReader, field: WireField): readonly [string, string] {
  const text: Record<number, string> = {};
  for (let at = field.payload; at < field.next; ) {
    const part = wire.field(at, field.next);
    if (part === null || part.next > field.next) break;
    text[part.number] = new TextDecoder().decode(wire.slice(part.payload, part.next - part.payload));
    at = part.next;
  }
  return [text[1] ?? "", text[2] ?? ""];
}

/** A repeated int64, packed or not. */
function readInts(wire: WireReader, field: WireField): number[] {
  if (field.type !== BYTES) return [field.value];
  const values: number[] = [];
  let value = 0;
  let shift = 0;
  for (const byte of wire.slice(field.payload, field.next - field.payload)) {
    value += (byte & 0x7f) * 2 ** shift;
    shift += 7;
    if (byte >= 0x80) continue;
    values.push(value);
    value = 0;
    shift = 0;
  }
  return values;
}
