import { HoldfastError } from "../base/errors.ts";
import { appendProof } from "./append-proof.ts";
import type { Graph } from "./graph.ts";
import type { StateBinding, ValueSpec } from "./types.ts";
import { valueSpec } from "./values.ts";

/** Which outputs feed which inputs of the next run: found by name, or given as input name → output name ({}: none). */
export type BindingOption = "auto" | Readonly<Record<string, string>>;

/** Names that exporters give to a state's input, from the name of its output. */
const NAMINGS: readonly (readonly [output: RegExp, input: string])[] = [
  [/^present_key_values\b/, "past_key_values"],
  [/^present\b/, "past_key_values"],
  [/^present_/, "past_"],
  [/^present\b/, "past"],
  [/^(state|h|c)[nN]$/, "$1"],
];

/** The bound pairs of a graph, in the order of its inputs. @throws HoldfastError BAD_OPTIONS if a given pair does not fit. */
export function findBindings(graph: Graph, option: BindingOption = "auto"): StateBinding[] {
  const inputs = new Map(graph.inputs.map((value) => [value.name, valueSpec(value)]));
  const outputs = new Map(graph.outputs.map((value) => [value.name, valueSpec(value)]));
  const pairs = option === "auto" ? byName([...outputs.keys()], inputs) : new Map(Object.entries(option));
  const taken = new Set<string>();
  for (const [name, output] of pairs) {
    const problem =
      misfit(inputs.get(name), outputs.get(output)) ?? (taken.has(output) ? "the output is bound twice" : null);
    taken.add(output);
    if (problem === null) continue;
    if (option === "auto") pairs.delete(name);
    else throw new HoldfastError("BAD_OPTIONS", `the binding of ${name} to ${output} does not fit: ${problem}`);
  }
  return [...inputs.values()].flatMap((input) => {
    const output = pairs.get(input.name);
    if (output === undefined) return [];
    const { axis = null, written } = appendProof(graph, input, output) ?? {};
    return [{ input, output, appendAxis: axis, ...(written && { written }) }];
  });
}

function byName(outputs: readonly string[], inputs: ReadonlyMap<string, unknown>): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const output of outputs) {
    for (const [pattern, replacement] of NAMINGS) {
      const input = output.replace(pattern, replacement);
      if (input === output || !inputs.has(input) || pairs.has(input)) continue;
      pairs.set(input, output);
      break;
    }
  }
  return pairs;
}

function misfit(input: ValueSpec | undefined, output: ValueSpec | undefined): string | null {
  if (input === undefined) return "the model has no such input";
  if (output === undefined) return "the model has no such output";
  if (input.type !== output.type) return `the input is ${input.type}, the output ${output.type}`;
  if (input.dims === null || output.dims === null || input.dims.length === output.dims.length) return null;
  return `the input has ${input.dims.length} dimensions, the output ${output.dims.length}`;
}
