import type { Builder } from "./builder.ts";
import {
  FLOAT,
  FLOAT16,
  floatWeight,
  gain,
  INT8,
  INT32,
  integerWeight,
  keyOf,
  noise,
  type Source,
  UINT8,
} from "./weights.ts";

/** Elements of an int4 block that share a scale; a shorter row has one block. */
const BLOCK = 32;
const UINT8_MIDDLE = 128;

export interface LinearOptions {
  readonly bias?: boolean;
  /** How strong the outputs are next to inputs of unit variance. */
  readonly strength?: number;
  /** The largest input that static quantisation expects. */
  readonly range?: number;
  /** The weight's name; left out, it gets one of those that torch gives to what it transposed. */
  readonly weight?: string;
  /** What its values are seeded by; left out, `path`. */
  readonly source?: string;
}

/** x · W (+ bias) over the last axis, as MatMul (and Add) or what the quantiser made of it. `path` is the layer's scope. */
export function linear(g: Builder, path: string, x: string, from: number, to: number, options: LinearOptions = {}) {
  const { bias = false, strength = 1, range = 4 } = options;
  const source = { key: keyOf(g.settings.seed, options.source ?? path), scale: strength * Math.sqrt(3 / from) };
  const y = product(g, path, x, [from, to], source, range * strength, { ...options, range });
  return bias ? g.op(`${path}/Add`, [g.noise(`${dotted(path)}.bias`, [to], 0.1), y]) : y;
}

type Shape = readonly [from: number, to: number];

function product(g: Builder, path: string, x: string, [from, to]: Shape, w: Source, out: number, o: LinearOptions) {
  const kind = g.settings.linear;
  const name = o.weight ?? g.anonymous("MatMul");
  if (kind === "qdq") {
    const weight = quantised(g, name, [from, to], 1, w);
    const read = dequantised(g, weight, 1);
    return requantised(g, g.op(`${path}/MatMul`, [activation(g, x, o.range ?? 4), read]), out);
  }
  if (kind === "dynamic") return dynamic(g, path, x, quantised(g, name, [from, to], 1, w));
  if (kind === "int4") return int4(g, path, x, name, [from, to], w);
  return g.op(`${path}/MatMul`, [x, g.matrix(name, [from, to], w)]);
}

/** The same as a Gemm over a matrix, W stored as [to, from]. int4 quantisers leave it as it is. */
export function gemm(g: Builder, path: string, x: string, from: number, to: number, options: LinearOptions = {}) {
  const { strength = 1, range = 4, weight = `${dotted(path)}.weight` } = options;
  const source = { key: keyOf(g.settings.seed, path), scale: strength * Math.sqrt(3 / from) };
  const bias = `${dotted(path)}.bias`;
  if (g.settings.linear === "qdq") {
    const w = quantised(g, weight, [to, from], 0, source);
    const inputs = [activation(g, x, range), dequantised(g, w, 0), int32Bias(g, bias, to, source, range)];
    return requantised(g, g.op(`${path}/Gemm`, inputs, { transB: 1 }), range * strength);
  }
  const value = (index: number): number =>
    source.scale * noise(source.key, index) * gain(source, Math.floor(index / from));
  const w = g.add(floatWeight(weight, g.settings.float, [to, from], value));
  return g.op(`${path}/Gemm`, [x, w, g.noise(bias, [to], 0.1)], { transB: 1 });
}

export interface ConvShape {
  readonly from: number;
  readonly to: number;
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly pads: readonly number[];
  readonly bias?: boolean;
}

/** A convolution over inputs of [batch, from, …spatial]; only static quantisation touches it. */
export function conv(g: Builder, path: string, x: string, shape: ConvShape, range = 4): string {
  const { from, to, kernel, strides, pads, bias = true } = shape;
  const taps = from * kernel.reduce((product, size) => product * size, 1);
  const source = { key: keyOf(g.settings.seed, path), scale: Math.sqrt(3 / taps) };
  const attributes = { dilations: kernel.map(() => 1), group: 1, kernel_shape: kernel, pads, strides };
  const [weight, offsets] = [`${dotted(path)}.weight`, `${dotted(path)}.bias`];
  const dims = [to, from, ...kernel];
  if (g.settings.linear === "qdq") {
    const w = dequantised(g, quantised(g, weight, dims, 0, source), 0);
    const offset = bias ? [int32Bias(g, offsets, to, source, range)] : [];
    return requantised(g, g.op(`${path}/Conv`, [activation(g, x, range), w, ...offset], attributes), range);
  }
  const value = (index: number): number =>
    source.scale * noise(source.key, index) * gain(source, Math.floor(index / taps));
  const w = g.add(floatWeight(weight, g.settings.float, dims, value));
  return g.op(`${path}/Conv`, [x, w, ...(bias ? [g.noise(offsets, [to], 0.1)] : [])], attributes);
}

interface Quantised {
  readonly name: string;
  readonly values: string;
  readonly scales: string;
  readonly zeros: string;
}

/** int8 values with a scale for each index of `axis`. */
function quantised(g: Builder, name: string, dims: readonly number[], axis: number, source: Source): Quantised {
  const channels = dims[axis] as number;
  const value = (index: number): number => Math.round(127 * noise(source.key, index));
  return {
    name,
    values: g.add(integerWeight(`${name}_quantized`, INT8, dims, value)),
    scales: g.add(floatWeight(`${name}_scale`, FLOAT, [channels], (c) => (source.scale * gain(source, c)) / 127)),
    zeros: g.add(integerWeight(`${name}_zero_point`, INT8, [channels], () => 0)),
  };
}

function dequantised(g: Builder, { name, values, scales, zeros }: Quantised, axis: number): string {
  return g.op(`/${name}_DequantizeLinear:DequantizeLinear`, [values, scales, zeros], { axis });
}

/** Q/DQ around an activation of at most `range`, once for all its readers. */
function activation(g: Builder, x: string, range: number): string {
  return g.once(`qdq ${x}`, () => {
    const scale = g.add(floatWeight(`${x}_scale`, FLOAT, [], () => range / 127));
    const zero = g.add(integerWeight(`${x}_zero_point`, UINT8, [], () => UINT8_MIDDLE));
    const q = g.op(`/${x}_QuantizeLinear:QuantizeLinear`, [x, scale, zero]);
    return g.op(`/${x}_DequantizeLinear:DequantizeLinear`, [q, scale, zero]);
  });
}

/** A result with Q/DQ behind it; a little more than the inputs' range, as sums grow. */
function requantised(g: Builder, y: string, range: number): string {
  return activation(g, y, range * 1.25);
}

/** A bias as int32 in steps of the product of both scales. */
function int32Bias(g: Builder, name: string, count: number, source: Source, range: number): string {
  const step = (c: number): number => ((range / 127) * source.scale * gain(source, c)) / 127;
  const key = keyOf(g.settings.seed, name);
  const value = (c: number): number => Math.round((0.1 * noise(key, c)) / step(c));
  const values = g.add(integerWeight(`${name}_quantized`, INT32, [count], value));
  const scales = g.add(floatWeight(`${name}_quantized_scale`, FLOAT, [count], step));
  const zeros = g.add(integerWeight(`${name}_quantized_zero_point`, INT32, [count], () => 0));
  return g.op(`/${name}_DequantizeLinear:DequantizeLinear`, [values, scales, zeros], { axis: 0 });
}

/** Activations quantised while running: DynamicQuantizeLinear, MatMulInteger, and back to floats. */
function dynamic(g: Builder, path: string, x: string, { values, scales, zeros }: Quantised): string {
  const [q, scale, zero] = g
    .once(`dynamic ${x}`, () => {
      return g.ops(`/${x}_QuantizeLinear:DynamicQuantizeLinear`, 3, [x]).join(" ");
    })
    .split(" ") as [string, string, string];
  const product = g.op(`${path}/MatMul_quant:MatMulInteger`, [q, values, zero, zeros]);
  const float = g.op(`${path}/MatMul_output_0_output_quantized_cast:Cast`, [product], { to: FLOAT });
  const both = g.op(`${path}/MatMul_quant_scales_mul:Mul`, [scale, scales]);
  return g.op(`${path}/MatMul_quant_output_scale_mul:Mul`, [float, both]);
}

/** Blocks of 4-bit values along the input axis, two to a byte, stored by output. */
function int4(g: Builder, path: string, x: string, name: string, [from, to]: Shape, source: Source): string {
  const size = from >= BLOCK ? BLOCK : 16;
  const blocks = Math.ceil(from / size);
  const rowBytes = (blocks * size) / 2;
  const value = (k: number, n: number): number => {
    return k < from ? Math.round(7 * noise(source.key, k * to + n)) + 8 : 8;
  };
  const packed = (index: number): number => {
    const n = Math.floor(index / rowBytes);
    const k = (index % rowBytes) * 2;
    return value(k, n) | (value(k + 1, n) << 4);
  };
  const scale = (index: number): number => (source.scale * gain(source, Math.floor(index / blocks))) / 7;
  const b = g.add(integerWeight(`${name}_Q4`, UINT8, [to, blocks, size / 2], packed));
  const scales = g.add(floatWeight(`${name}_scales`, g.settings.float, [to * blocks], scale));
  const level = g.settings.float === FLOAT16 ? {} : { accuracy_level: 4 };
  const attributes = { K: from, N: to, bits: 4, block_size: size, ...level };
  return g.op(`${path}/MatMul_Q4:MatMulNBits`, [x, b, scales], attributes);
}

/** "/encoder/layer.0/output/dense" → "encoder.layer.0.output.dense" */
export function dotted(path: string): string {
  return path.slice(1).replaceAll("/", ".");
}
