import { HoldfastError } from "../base/errors.ts";
import { NESTING_MAX, SKELETON_BYTES_MAX } from "./limits.ts";
import { writeTensor } from "./skeleton-tensor.ts";
import type { RangeReader } from "./types.ts";
import { BYTES, VARINT, type WireField, WireReader, WireWriter } from "./wire.ts";

/** An ONNX model without its weights: tensors over 1024 bytes point at ranges of `files`, or of the model file itself (""). */
export interface Skeleton {
  readonly bytes: Uint8Array;
  /** Paths of the external data files that the model names, sorted. */
  readonly files: readonly string[];
}

type MessageKind = "model" | "graph" | "node" | "attribute" | "tensor";
/** Which fields of a message hold messages that may hold weights (onnx.proto3, IR 13). All others are copied. */
const NESTED: Readonly<Record<Exclude<MessageKind, "tensor">, Readonly<Record<number, MessageKind>>>> = {
  model: { 7: "graph" },
  graph: { 1: "node", 5: "tensor" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph" },
};
/** Wire types of ModelProto's fields: what contradicts them is no ONNX model. */
const MODEL_FIELDS: Readonly<Record<number, number>> = {
  ...{ 1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES },
  ...{ 14: BYTES, 20: BYTES, 25: BYTES, 26: BYTES },
};
const TRAINING_INFO = 20;
const IR_VERSION_MAX = 1000;

interface Walk {
  readonly wire: WireReader;
  readonly files: Set<string>;
  kept: number;
}

/**
 * Copies an ONNX ModelProto without its weights, reading only what it copies.
 * @throws HoldfastError BAD_MODEL if the file is empty, truncated, or no ONNX model.
 */
export function readSkeleton(reader: RangeReader): Skeleton {
  if (reader.size === 0) throw bad("the file is empty: download it again");
  const walk: Walk = { wire: new WireReader(reader), files: new Set(), kept: 0 };
  checkTop(walk.wire);
  const bytes = copyMessage(walk, "model", 0, reader.size, 0).finish();
  return { bytes, files: [...walk.files].sort() };
}

/** The fields of the file itself: tells a truncated model from what never was one. */
function checkTop(wire: WireReader): void {
  const seen = new Set<number>();
  for (let at = 0; at < wire.size; ) {
    const field = wire.field(at, wire.size);
    const expected = field === null ? undefined : MODEL_FIELDS[field.number];
    const isModel = field !== null && (expected === undefined ? seen.has(1) : expected === field.type);
    if (!isModel) throw seen.has(7) ? bad(`the file is damaged at byte ${at}: download it again`) : notOnnx(wire);
    if (field.number === 1 && (field.value < 1 || field.value > IR_VERSION_MAX)) throw notOnnx(wire);
    if (field.next > wire.size) throw seen.has(1) ? truncated(field.next, wire.size) : notOnnx(wire);
    seen.add(field.number);
    at = field.next;
  }
  if (!seen.has(1)) throw notOnnx(wire);
  if (!seen.has(7)) throw bad("the file is truncated: it holds no graph; download it again");
  if (!seen.has(8)) throw bad("the file is truncated: it names no operator set; download it again");
}

function copyMessage(walk: Walk, kind: MessageKind, start: number, end: number, depth: number): WireWriter {
  if (depth > NESTING_MAX) throw bad(`not an ONNX model: its messages are nested deeper than ${NESTING_MAX}`);
  if (kind === "tensor") {
    const tensor = writeTensor(walk.wire, fieldsOf(walk, start, end), walk.files);
    return count(walk, tensor, tensor.length);
  }
  const copy = new WireWriter();
  const nested = NESTED[kind];
  // What lies between nested messages is copied in one piece: a piece a field would cost more than the field.
  let copied = start;
  const copyUntil = (offset: number): void => {
    if (offset === copied) return;
    count(walk, copy, offset - copied);
    copy.raw(walk.wire.slice(copied, offset - copied));
  };
  for (let at = start; at < end; ) {
    const field = fieldAt(walk, at, end);
    at = field.next;
    const isDropped = kind === "model" && field.number === TRAINING_INFO;
    const inner = field.type === BYTES ? nested[field.number] : undefined;
    if (!isDropped && inner === undefined) continue;
    copyUntil(field.start);
    copied = field.next;
    if (isDropped || inner === undefined) continue;
    copy.message(field.number, copyMessage(walk, inner, field.payload, field.next, depth + 1));
  }
  copyUntil(end);
  return copy;
}

function fieldAt(walk: Walk, at: number, end: number): WireField {
  const field = walk.wire.field(at, end);
  if (field === null || field.next > end) throw bad(`the file is damaged at byte ${at}: download it again`);
  return field;
}

function fieldsOf(walk: Walk, start: number, end: number): WireField[] {
  const fields: WireField[] = [];
  for (let at = start; at < end; at = fields.at(-1)?.next ?? end) fields.push(fieldAt(walk, at, end));
  return fields;
}

function count(walk: Walk, writer: WireWriter, bytes: number): WireWriter {
  walk.kept += bytes;
  if (walk.kept <= SKELETON_BYTES_MAX) return writer;
  throw bad(`the model's graph without its weights is over ${SKELETON_BYTES_MAX} bytes: store the weights as raw_data`);
}

function notOnnx(wire: WireReader): HoldfastError {
  const head = new TextDecoder().decode(wire.slice(0, Math.min(wire.size, 48))).trimStart();
  if (head.startsWith("version https://git-lfs")) {
    return bad("not an ONNX model: it is a Git LFS pointer; use the address that resolves to the file itself");
  }
  if (head.startsWith("<")) return bad("not an ONNX model: it looks like a web page; check the address of the file");
  if (/^[[{]/.test(head)) return bad("not an ONNX model: it looks like JSON; check the address of the file");
  return bad("not an ONNX model: its bytes are no ModelProto; give the address of an .onnx file");
}

function truncated(end: number, size: number): HoldfastError {
  return bad(`the file is truncated: it should reach byte ${end} but has ${size} bytes; download it again`);
}

function bad(message: string): HoldfastError {
  return new HoldfastError("BAD_MODEL", message);
}
