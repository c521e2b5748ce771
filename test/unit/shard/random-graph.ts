import fc from "fast-check";
import { body, constant, floats, longs, model, type Node, node, type Tensor } from "./build.ts";

/** Its feeds: `x0`, `x1`, … of [b, 32], and the bool `flag`. */
export const W = 32;

/** What one step of a random graph adds; `a`, `b` and `c` pick among the tensors there are. */
type Step = { readonly kind: string; readonly a: number; readonly b: number; readonly c: number };
export interface Genome {
  readonly feeds: number;
  readonly steps: readonly Step[];
  /** Picks of tensors that are outputs beside the last one; feeds may be among them. */
  readonly outputs: readonly number[];
  readonly flag: boolean;
  /** Moves the nodes of the file about. */
  readonly shuffle: number;
}

export interface RandomModel {
  readonly sorted: Uint8Array;
  readonly shuffled: Uint8Array;
}

/** Everything a step may use: tensors of [b, 32] and of [b, 16], and where nodes and weights go. */
class Builder {
  readonly nodes: Node[] = [];
  readonly weights: Tensor[] = [constant("half", 0.5), constant("eps", 1e-5), constant("two", 2), longs("axis", [-1])];
  readonly wide: string[] = [];
  readonly narrow: string[] = [];
  readonly shared: string[] = [];
  #count = 0;

  name(): string {
    this.#count += 1;
    return `t${this.#count}`;
  }

  add(operator: string, inputs: string, attributes: Parameters<typeof node>[3] = {}): string {
    const name = this.name();
    this.nodes.push(node(operator, inputs, name, attributes));
    return name;
  }

  weight(...dims: number[]): string {
    const name = `w${this.weights.length}`;
    this.weights.push(floats(name, dims));
    return name;
  }

  /** A weight that several nodes read. */
  sharedWeight(index: number): string {
    if (index % 3 >= this.shared.length) this.shared.push(this.weight(W, W));
    return pickOne(this.shared, index);
  }
}

export const PICKS = 60;
const pickOne = <T>(list: readonly T[], index: number): T => list[index % list.length] as T;
/** Mostly the newest, so that most of a graph is alive and long enough to be cut. */
const pickLate = <T>(list: readonly T[], index: number): T =>
  list[list.length - 1 - Math.floor((index / PICKS) ** 4 * list.length)] as T;
const UNARY = "Relu Sigmoid Tanh Abs Neg Erf Softmax Identity HardSigmoid LeakyRelu Softplus".split(" ");
const BINARY = "Add Sub Mul Max Min".split(" ");

/** Each pushes the tensors it makes. The pairs that onnxruntime fuses are among them on purpose. */
const STEPS: Readonly<Record<string, (build: Builder, a: string, b: string, step: Step) => void>> = {
  unary: (build, a, _b, { c }) => void build.wide.push(build.add(pickOne(UNARY, c), a)),
  binary: (build, a, b, { c }) => void build.wide.push(build.add(pickOne(BINARY, c), `${a} ${b}`)),
  matmul: (build, a) => void build.wide.push(build.add("MatMul", `${a} ${build.weight(W, W)}`)),
  sharedMatmul: (build, a, _b, { c }) => void build.wide.push(build.add("MatMul", `${a} ${build.sharedWeight(c)}`)),
  turnedMatmul: (build, a) => {
    const turned = build.add("Transpose", build.weight(W, W), { perm: [1, 0] });
    build.wide.push(build.add("MatMul", `${a} ${turned}`));
  },
  linear: (build, a, _b, { c }) => {
    const product = build.add("MatMul", `${a} ${build.weight(W, W)}`);
    const sum = build.add("Add", c % 2 === 0 ? `${product} ${build.weight(W)}` : `${build.weight(W)} ${product}`);
    build.wide.push(product, sum);
  },
  gemm: (build, a, _b, { c }) => {
    build.wide.push(build.add("Gemm", `${a} ${build.weight(W, W)} ${build.weight(W)}`, { transB: c % 2 }));
  },
  scale: (build, a, _b, { c }) => void build.wide.push(build.add(pickOne(["Mul", "Div", "Add"], c), `${a} half`)),
  norm: (build, a) => {
    build.wide.push(build.add("LayerNormalization", `${a} ${build.weight(W)} ${build.weight(W)}`, { axis: -1 }));
  },
  oldNorm: (build, a) => {
    const mean = build.add("ReduceMean", a, { axes: [-1], keepdims: 1 });
    const centred = build.add("Sub", `${a} ${mean}`);
    const variance = build.add("ReduceMean", build.add("Pow", `${centred} two`), { axes: [-1], keepdims: 1 });
    const deviation = build.add("Sqrt", build.add("Add", `${variance} eps`));
    build.wide.push(build.add("Mul", `${build.add("Div", `${centred} ${deviation}`)} ${build.weight(W)}`));
  },
  gate: (build, a) => void build.wide.push(build.add("Mul", `${a} ${build.add("Sigmoid", a)}`)),
  split: (build, a) => {
    const [left, right] = [build.name(), build.name()];
    build.nodes.push(node("Split", a, `${left} ${right}`, { axis: -1 }));
    build.narrow.push(left, right);
  },
  topk: (build, a) => {
    const [values, indices] = [build.name(), build.name()];
    if (!build.weights.some(({ name }) => name === "k")) build.weights.push(longs("k", [W / 2]));
    build.nodes.push(node("TopK", `${a} k`, `${values} ${indices}`, { axis: -1 }));
    build.narrow.push(values, build.add("Cast", indices, { to: 1 }));
  },
  concat: (build, a, b, { c }) => {
    if (build.narrow.length === 0) STEPS["split"]?.(build, a, b, { kind: "split", a: 0, b: 0, c });
    const pair = `${pickOne(build.narrow, c)} ${pickOne(build.narrow, c + 1)}`;
    build.wide.push(build.add("Concat", pair, { axis: -1 }));
  },
  narrowMatmul: (build, a, b, { c }) => {
    if (build.narrow.length === 0) STEPS["split"]?.(build, a, b, { kind: "split", a: 0, b: 0, c });
    build.narrow.push(build.add("MatMul", `${pickOne(build.narrow, c)} ${build.weight(W / 2, W / 2)}`));
  },
  shape: (build, a, b) => {
    const shape = build.add("Shape", b);
    build.wide.push(build.add("Reshape", `${build.add("Mul", `${a} half`)} ${shape}`));
  },
  branch: (build, a, b, { c }) => {
    const [id, inner] = [build.name(), floats(`${build.name()}.inner`, [W, W])];
    const name = inner.name ?? "";
    const small = build.sharedWeight(c);
    const then = [node("MatMul", `${a} ${name}`, `${id}.m`), node("Add", `${id}.m ${b}`, `${id}.then`)];
    const other = [node("MatMul", `${b} ${small}`, `${id}.n`), node("Tanh", `${id}.n`, `${id}.else`)];
    const branches = {
      then_branch: { body: body([], [`${id}.then:float`], then, [inner]) },
      else_branch: { body: body([], [`${id}.else:float`], other) },
    };
    build.wide.push(build.add("If", "flag", branches));
  },
  loop: (build, a, b) => {
    const id = build.name();
    if (!build.weights.some(({ name }) => name === "trips")) build.weights.push({ ...longs("trips", [2]), dims: [] });
    const turn = [
      node("Identity", `${id}.go`, `${id}.on`),
      node("Add", `${id}.old ${b}`, `${id}.sum`),
      node("Tanh", `${id}.sum`, `${id}.new`),
    ];
    const ins = [`${id}.i:int64:`, `${id}.go:bool:`, `${id}.old:float`];
    build.wide.push(
      build.add("Loop", `trips - ${a}`, { body: { body: body(ins, [`${id}.on:bool`, `${id}.new:float`], turn) } }),
    );
  },
  dead: (build, a) => void build.add("MatMul", `${a} ${build.weight(W, W)}`),
};

export function buildRandom({ feeds, steps, outputs, shuffle }: Genome): RandomModel {
  const build = new Builder();
  const names = Array.from({ length: feeds }, (_, i) => `x${i}`);
  build.wide.push(...names);
  for (const step of steps) {
    STEPS[step.kind]?.(build, pickLate(build.wide, step.a), pickOne(build.wide, step.b), step);
  }
  const last = build.wide.at(-1) ?? "x0";
  const made = last === `x${feeds - 1}` ? build.add("Identity", last) : last;
  const picked = new Set([made, ...outputs.map((index) => pickOne(build.wide, index))]);
  const inputs = [...names.map((name) => `${name}:float:b,${W}`), "flag:bool:"];
  const parts = { inputs, outputs: [...picked].map((name) => `${name}:float`), weights: build.weights };
  return {
    sorted: model({ ...parts, nodes: build.nodes }),
    shuffled: model({ ...parts, nodes: shuffled(build.nodes, shuffle) }),
  };
}

function shuffled<T>(list: readonly T[], seed: number): T[] {
  const rest = [...list];
  let state = seed >>> 0;
  return list.map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return rest.splice((state >>> 8) % rest.length, 1)[0] as T;
  });
}

/** Weights are where shards may begin, so steps with weights come more often. */
export const KINDS = [...Object.keys(STEPS), "matmul", "linear", "gemm", "norm", "unary", "unary", "binary"];

/** Random typed DAGs; a failing one shrinks to its fewest steps. */
export const genomes: fc.Arbitrary<Genome> = fc.record({
  feeds: fc.integer({ min: 1, max: 3 }),
  steps: fc.array(
    fc.record({ kind: fc.constantFrom(...KINDS), a: fc.nat(PICKS - 1), b: fc.nat(PICKS - 1), c: fc.nat(PICKS - 1) }),
    { minLength: 3, maxLength: 24 },
  ),
  outputs: fc.array(fc.nat(PICKS - 1), { maxLength: 3 }),
  flag: fc.boolean(),
  shuffle: fc.nat(),
});
