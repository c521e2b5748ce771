import { type GraphProto, type ModelProto, parseModel, serialiseModel } from "../../src/shard/model.ts";
import { BYTES, WireReader } from "../../src/shard/wire.ts";
import type { Random } from "../unit/random.ts";
import { readerOf } from "../unit/shard/models.ts";

/** Mutations of a file's bytes; each returns new bytes. */
const BYTE_MUTATIONS: Readonly<Record<string, (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array>> = {
  flipBits: (bytes, random) => {
    const copy = bytes.slice();
    for (let i = random.below(4); i >= 0; i--) {
      const at = random.below(copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
    }
    return copy;
  },
  stompBytes: (bytes, random) => {
    const copy = bytes.slice();
    const at = random.below(copy.length);
    const end = Math.min(copy.length, at + 1 + random.below(16));
    for (let i = at; i < end; i++) copy[i] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
    return copy;
  },
  truncate: (bytes, random) => bytes.slice(0, random.below(bytes.length)),
  insert: (bytes, random) => {
    const piece = Uint8Array.from({ length: 1 + random.below(32) }, () => random.below(256));
    return splice(bytes, random.below(bytes.length), 0, piece);
  },
  remove: (bytes, random) => splice(bytes, random.below(bytes.length), 1 + random.below(32), new Uint8Array()),
  repeat: (bytes, random) => {
    const at = random.below(bytes.length);
    return splice(bytes, at, 0, bytes.slice(at, at + 1 + random.below(512)));
  },
  cross: (bytes, random, other) => {
    const at = random.below(other.length);
    return splice(bytes, random.below(bytes.length), random.below(64), other.slice(at, at + random.below(512)));
  },
  lengthBomb,
};

function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), ...insert, ...bytes.subarray(at + remove)]);
}

const BOMBS: readonly (readonly number[])[] = [
  [0],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x80, 0x10],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x80, 0x80, 0x80, 0x00],
];

/** Walks down to some message and lies about its length. */
function lengthBomb(bytes: Uint8Array, random: Random): Uint8Array {
  const wire = new WireReader(readerOf(bytes));
  let [start, end] = [0, bytes.length];
  for (;;) {
    const inner: { start: number; payload: number; next: number }[] = [];
    for (let at = start; at < end; ) {
      const field = wire.field(at, end);
      if (field === null || field.next > end) break;
      if (field.type === BYTES) inner.push(field);
      at = field.next;
    }
    const field = inner.length === 0 ? undefined : random.pick(inner);
    if (field === undefined) return bytes.slice(0, Math.max(1, end - 1));
    if (random.chance(0.6) && field.next - field.payload > 8) {
      [start, end] = [field.payload, field.next];
      continue;
    }
    const tag = tagLength(bytes, field.start);
    const length = Uint8Array.from(random.pick(BOMBS));
    return splice(bytes, field.start + tag, field.payload - field.start - tag, length);
  }
}

function tagLength(bytes: Uint8Array, at: number): number {
  let length = 1;
  while ((bytes[at + length - 1] ?? 0) >= 0x80) length += 1;
  return length;
}

/** Each makes what is nested twice as large. */
const DOUBLINGS_MAX = 2;
type Model = ModelProto & { graph: GraphProto };
const HUGE = [0n, -1n, 2n ** 31n, 2n ** 40n, 2n ** 62n, -(2n ** 63n)];
const WORDS = [
  "",
  "x",
  "y",
  "If",
  "Loop",
  "Constant",
  "Reshape",
  "Concat",
  "__proto__",
  "constructor",
  "é\u0000",
  "a".repeat(300),
];

/** Mutations of what the file means; each changes the model in place. */
const MODEL_MUTATIONS: Readonly<Record<string, (model: Model, random: Random) => void>> = {
  rewireInput: ({ graph }, random) => {
    const reader = random.pick(graph.node);
    reader.input[random.below(Math.max(1, reader.input.length))] = someName(graph, random);
  },
  cycle: ({ graph }, random) => {
    const at = random.below(graph.node.length);
    const later = random.pick(graph.node.slice(at));
    graph.node[at]?.input.push(later.output[0] ?? "");
  },
  defineTwice: ({ graph }, random) => {
    random.pick(graph.node).output[0] = someName(graph, random);
  },
  doubleNode: ({ graph }, random) =>
    void graph.node.splice(random.below(graph.node.length), 0, random.pick(graph.node)),
  dropNode: ({ graph }, random) => void graph.node.splice(random.below(graph.node.length), 1),
  dropWeight: ({ graph }, random) => void graph.initializer.splice(random.below(graph.initializer.length + 1), 1),
  reorder: ({ graph }, random) => void graph.node.sort(() => random.next() - 0.5),
  operator: ({ graph }, random) => {
    const chosen = random.pick(graph.node);
    if (random.chance(0.5)) chosen.opType = random.pick([random.pick(graph.node).opType, random.pick(WORDS)]);
    else chosen.domain = random.pick(["", "ai.onnx", "com.microsoft", "no.such"]);
  },
  hugeDims: ({ graph }, random) => {
    const tensor = graph.initializer[random.below(Math.max(1, graph.initializer.length))];
    if (tensor === undefined) return;
    if (random.chance(0.3)) tensor.dims = Array.from({ length: random.below(40) }, () => random.pick(HUGE));
    else tensor.dims.splice(random.below(tensor.dims.length + 1), 1, random.pick(HUGE));
  },
  dataType: ({ graph }, random) => {
    const tensor = graph.initializer[random.below(Math.max(1, graph.initializer.length))];
    if (tensor !== undefined) tensor.dataType = random.below(30) - 2;
  },
  external: ({ graph }, random) => {
    const tensor = graph.initializer[random.below(Math.max(1, graph.initializer.length))];
    if (tensor === undefined) return;
    const [location, offset] = [
      random.pick(["w.bin", "../w", "/etc/x", "C:\\w", ""]),
      random.pick(["0", "-1", "1e30", "x", "4294967296"]),
    ];
    const pairs = Object.entries({
      location,
      offset,
      length: random.pick(["16", "99999999999999999999", "-5", "NaN"]),
    });
    const entry = (key: string, value: string) => ({ $typeName: "onnx.StringStringEntryProto", key, value });
    Object.assign(tensor, { dataLocation: 1, externalData: pairs.map(([key, value]) => entry(key, value)) });
  },
  attribute: ({ graph }, random) => {
    const chosen = random.pick(graph.node).attribute.at(0);
    if (chosen === undefined) return;
    if (random.chance(0.3)) chosen.type = random.below(16);
    if (random.chance(0.5)) chosen.i = random.pick(HUGE);
    if (random.chance(0.5)) chosen.ints = Array.from({ length: random.below(6) }, () => random.pick([...HUGE, 0n, 1n]));
    if (random.chance(0.2)) chosen.name = random.pick([...WORDS, "axis", "perm", "to", "value"]);
  },
  versions: (model, random) => {
    if (random.chance(0.5)) model.irVersion = random.pick(HUGE);
    const opset = model.opsetImport[random.below(Math.max(1, model.opsetImport.length))];
    if (opset !== undefined) opset.version = random.pick([...HUGE, 6n, 13n, 21n]);
  },
  declare: ({ graph }, random) => {
    const list = random.pick([graph.input, graph.output, graph.valueInfo]);
    const other = random.pick([...graph.input, ...graph.output]);
    const place = random.below(list.length + 1);
    if (random.chance(0.4)) list.splice(place, 1);
    else list.splice(place, 0, { ...other, name: random.chance(0.7) ? someName(graph, random) : other.name });
  },
  nest: ({ graph }, random) => {
    const branch = graph.node.find((node) => node.attribute.some((attribute) => attribute.g !== undefined));
    const attribute = branch?.attribute.find((candidate) => candidate.g !== undefined);
    if (branch === undefined || attribute?.g === undefined) return;
    let doublings = 0;
    for (let depth = 1 + random.below(40); depth > 0; depth--) {
      const inner: GraphProto = { ...attribute.g, node: [{ ...branch, attribute: [{ ...attribute }] }] };
      const doubles = doublings < DOUBLINGS_MAX && random.chance(0.1);
      if (doubles) doublings += 1;
      attribute.g = doubles ? { ...inner, node: [...inner.node, ...attribute.g.node] } : inner;
    }
  },
};

function someName(graph: GraphProto, random: Random): string {
  const names = [
    ...graph.node.flatMap((node) => [...node.output, ...node.input]),
    ...graph.initializer.map((tensor) => tensor.name),
    ...graph.output.map((value) => value.name),
    random.pick(WORDS),
  ];
  return random.pick(names);
}

/** What leaves the lengths of messages right comes more often: all else is found out at once. */
const BYTE_CHOICES = [...Object.keys(BYTE_MUTATIONS), ..."flipBits flipBits flipBits stompBytes stompBytes".split(" ")];

/** A damaged copy of a model file: one or two mutations of its meaning, its bytes, or both. */
export function mutate(bytes: Uint8Array, random: Random, other: Uint8Array): Uint8Array {
  let damaged = bytes;
  if (random.chance(0.6)) {
    const model = parseModel(bytes);
    for (let i = random.below(2); i >= 0 && model.graph.node.length > 0; i--) {
      random.pick(Object.values(MODEL_MUTATIONS))(model, random);
    }
    damaged = serialiseModel(model);
    if (random.chance(0.75)) return damaged;
  }
  for (let i = random.below(2); i >= 0 && damaged.length > 0; i--) {
    damaged = BYTE_MUTATIONS[random.pick(BYTE_CHOICES)]?.(damaged, random, other) ?? damaged;
  }
  return damaged;
}
