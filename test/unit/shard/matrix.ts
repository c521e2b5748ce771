import type * as ort from "onnxruntime-web/wasm";
import { expect } from "vitest";
import { assemble } from "../../../src/shard/assemble.ts";
import { findBindings } from "../../../src/shard/bindings.ts";
import { costModel } from "../../../src/shard/cost-model.ts";
import { cutSpace } from "../../../src/shard/cuts.ts";
import { graphOf } from "../../../src/shard/graph.ts";
import { narrowCuts } from "../../../src/shard/narrow.ts";
import { type PlanOptions, planShards } from "../../../src/shard/plan.ts";
import { readSkeleton, type Skeleton } from "../../../src/shard/skeleton.ts";
import type { ShardingStrategy, ShardPlan } from "../../../src/shard/types.ts";
import { validatePlan } from "../../../src/shard/validate.ts";
import { fileOf, type ModelFiles, readerOf } from "./models.ts";
import { at, expectSame, Pipeline, pick, type Tensors, wholeSession } from "./pipeline.ts";

/** A model with what it is fed, one step after the other; bound state starts at `initial` and is carried on. */
export interface MatrixModel {
  readonly files: ModelFiles;
  readonly steps: readonly Tensors[];
  /** By name of the state's input. */
  readonly initial?: Tensors;
}

const SHARDS_MAX = 8;
/** `HOLDFAST_LONG=1` runs every strategy at every K; without it a quarter of the cells, and each strategy's last. */
const EVERY = process.env["HOLDFAST_LONG"] === "1" ? 1 : 4;

/** One model executed whole, against which plans are executed: byte-equal results and state after every step. */
export class Matrix {
  readonly skeleton: Skeleton;
  readonly #model: MatrixModel;
  readonly #sessions = new Map<string, ort.InferenceSession>();
  readonly #executed = new Set<string>();
  #whole: { readonly results: Tensors; readonly state: Tensors }[] | null = null;

  constructor(model: MatrixModel) {
    this.#model = model;
    this.skeleton = readSkeleton(readerOf(fileOf(model.files, "")));
  }

  /** How many different plans were executed. */
  get executed(): number {
    return this.#executed.size;
  }

  /** Executes a strategy's plans for K = 1…8 (sampled, shifted by `offset`), those not executed before. */
  async check(strategy: ShardingStrategy, offset: number): Promise<void> {
    const { shardsMax } = this.plan({ shardingStrategy: strategy, shards: 1 });
    const last = Math.min(SHARDS_MAX, shardsMax);
    for (let shards = 1; shards <= last; shards++) {
      const plan = this.plan({ shardingStrategy: strategy, shards });
      expect(plan.shards).toHaveLength(shards);
      if ((shards + offset) % EVERY === 0 || shards === last) await this.execute(plan);
    }
  }

  /** Executes the plan with a cut at every legal place at once: no strategy can choose a cut that is not in it. */
  async checkEveryCut(): Promise<number> {
    const graph = graphOf(this.skeleton);
    const bindings = findBindings(graph);
    const space = cutSpace(graph, bindings);
    const { legal } = narrowCuts(space);
    const parts = assemble(graph, space, bindings, costModel(graph, space, bindings), legal);
    const whole = this.plan({ shards: 1 });
    const stages = parts.shards.flatMap(() => whole.stages);
    const plan = { ...whole, ...parts, stages };
    validatePlan(plan, { graph, nodes: space.nodes, hosts: [] });
    await this.execute(plan);
    return legal.length;
  }

  plan(options: PlanOptions): ShardPlan {
    return planShards(this.skeleton, options);
  }

  async execute(plan: ShardPlan): Promise<void> {
    const key = JSON.stringify(plan.shards.map((shard) => [shard.receives, shard.outputs, shard.emits]));
    if (this.#executed.has(key)) return;
    this.#executed.add(key);
    const { files, steps, initial = {} } = this.#model;
    this.#whole ??= await this.#runWhole(plan);
    const pipeline = await Pipeline.open(this.skeleton, plan, files, this.#sessions);
    pipeline.setState(initial);
    for (const [i, feeds] of steps.entries()) {
      const expected = this.#whole[i] ?? { results: {}, state: {} };
      expectSame(await pipeline.run(feeds), expected.results);
      for (const [name, tensor] of Object.entries(expected.state)) {
        expectSame({ [name]: pipeline.stateOf(name) }, { [name]: tensor });
      }
    }
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.release();
    this.#sessions.clear();
  }

  async #runWhole(plan: ShardPlan): Promise<{ results: Tensors; state: Tensors }[]> {
    const { files, steps, initial = {} } = this.#model;
    const bindings = plan.shards.flatMap((shard) => shard.state);
    const session = await wholeSession(files);
    const all: { results: Tensors; state: Tensors }[] = [];
    let state = initial;
    expect(Object.keys(initial).sort()).toEqual(bindings.map(({ input }) => input.name).sort());
    for (const feeds of steps) {
      const made = await session.run({ ...feeds, ...state });
      const names = plan.results.map(({ name }) => name);
      const outputs = bindings.map(({ output }) => output);
      all.push({ results: pick(made, names), state: pick(made, outputs) });
      state = Object.fromEntries(bindings.map(({ input, output }) => [input.name, at(made, output)]));
    }
    await session.release();
    return all;
  }
}
