import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { GraphProtoSchema, ModelProtoSchema, TensorProtoSchema } from "onnx-buf";
import { type Builder, valueInfo } from "./builder.ts";
import type { Weight } from "./weights.ts";

/** Elements that are made at once. */
const CHUNK_ELEMENTS = 1 << 20;
/** protobuf ends here. */
const FILE_BYTES_MAX = 2 ** 31 - 1;
/** Exporters keep smaller tensors inline. */
const EXTERNAL_MIN_BYTES = 1024;
const ALIGN_BYTES = 64;
const ZEROS = new Uint8Array(ALIGN_BYTES);
const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR_RAW_DATA = 9;

/** A file whose bytes are made while they are read; reading it again makes the same ones. */
export interface GeneratedFile {
  /** Beside the model file, as `location` of external data names it. */
  readonly path: string;
  readonly bytes: number;
  readonly chunks: () => Iterable<Uint8Array>;
}

export interface FileOptions {
  /** The name of the model file. */
  readonly path: string;
  /** From 3 on; 3 lists the weights as graph inputs. */
  readonly ir: number;
  readonly opset: number;
  /** Into how many files external weights go; 0: weights are inline. */
  readonly externalFiles: number;
}

type Segment = Uint8Array | Weight;

/** The files of a model, the model file first. Throws a RangeError for more than 2 GB inline. */
export function filesOf(builder: Builder, options: FileOptions): GeneratedFile[] {
  const places = externalPlaces(builder.weights, options);
  const tensors = builder.weights.map((weight) => tensorSegments(weight, places.get(weight)));
  const graph: Segment[] = [graphHead(builder, options)];
  for (const tensor of tensors) graph.push(field(GRAPH_INITIALIZER, lengthOf(tensor)), ...tensor);
  const opsetImport = [
    { domain: "", version: BigInt(options.opset) },
    { domain: "com.microsoft", version: 1n },
  ];
  const fields = { irVersion: BigInt(options.ir), producerName: "holdfast test models", opsetImport };
  const head = toBinary(ModelProtoSchema, create(ModelProtoSchema, fields));
  const file = fileOf(options.path, [head, field(MODEL_GRAPH, lengthOf(graph)), ...graph]);
  if (file.bytes > FILE_BYTES_MAX) throw new RangeError(`${options.path} exceeds 2 GB: its weights must be external`);
  return [file, ...externalFiles(places)];
}

function graphHead(builder: Builder, { ir }: FileOptions): Uint8Array {
  const graph = builder.graph("main_graph");
  const listed =
    ir < 4 ? builder.weights.map(({ name, dataType, dims }) => valueInfo(name, dataType, dims)) : ([] as const);
  const input = [...builder.inputs, ...listed];
  return toBinary(
    GraphProtoSchema,
    create(GraphProtoSchema, { ...graph, input } as MessageInitShape<typeof GraphProtoSchema>),
  );
}

interface Place {
  readonly path: string;
  readonly offset: number;
}

function externalPlaces(weights: readonly Weight[], { path, externalFiles: files }: FileOptions): Map<Weight, Place> {
  const places = new Map<Weight, Place>();
  if (files === 0) return places;
  const large = weights.filter(({ bytes }) => bytes >= EXTERNAL_MIN_BYTES);
  const share = large.reduce((sum, { bytes }) => sum + bytes, 0) / files;
  let [index, offset, done] = [0, 0, 0];
  for (const weight of large) {
    if (done >= share * (index + 1)) [index, offset] = [index + 1, 0];
    places.set(weight, { path: `${path}_data${index === 0 ? "" : `_${index}`}`, offset });
    done += weight.bytes;
    offset = Math.ceil((offset + weight.bytes) / ALIGN_BYTES) * ALIGN_BYTES;
  }
  return places;
}

function externalFiles(places: ReadonlyMap<Weight, Place>): GeneratedFile[] {
  const files = new Map<string, Segment[]>();
  for (const [weight, { path, offset }] of places) {
    const segments = files.get(path) ?? [];
    files.set(path, segments);
    segments.push(ZEROS.subarray(0, offset - lengthOf(segments)), weight);
  }
  return [...files].map(([path, segments]) => fileOf(path, segments));
}

function tensorSegments(weight: Weight, place: Place | undefined): Segment[] {
  const { name, dataType, bytes } = weight;
  const tensor = { name, dataType, dims: weight.dims.map(BigInt) };
  if (place === undefined) {
    const head = toBinary(TensorProtoSchema, create(TensorProtoSchema, tensor));
    return [head, field(TENSOR_RAW_DATA, bytes), weight];
  }
  const entries = { location: place.path, offset: String(place.offset), length: String(bytes) };
  const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
  return [toBinary(TensorProtoSchema, create(TensorProtoSchema, { ...tensor, dataLocation: 1, externalData }))];
}

/** The tag and length of a field of `length` bytes. */
function field(number: number, length: number): Uint8Array {
  if (length > FILE_BYTES_MAX) throw new RangeError("more than 2 GB inline: the weights must be external");
  return new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(length).finish();
}

function lengthOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, segment) => sum + (segment instanceof Uint8Array ? segment.length : segment.bytes), 0);
}

function fileOf(path: string, segments: readonly Segment[]): GeneratedFile {
  function* chunks(): Generator<Uint8Array> {
    for (const segment of segments) {
      if (segment instanceof Uint8Array) yield segment;
      else yield* partsOf(segment);
    }
  }
  return { path, bytes: lengthOf(segments), chunks };
}

function* partsOf({ bytes, elementBytes, part }: Weight): Generator<Uint8Array> {
  const count = bytes / elementBytes;
  for (let first = 0; first < count; first += CHUNK_ELEMENTS)
    yield part(first, Math.min(CHUNK_ELEMENTS, count - first));
}
