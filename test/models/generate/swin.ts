import type { Builder } from "./builder.ts";
import { dotted, linear } from "./linear.ts";
import type { Resolved } from "./options.ts";
import { attend, dim, gelu, layerNorm, shape } from "./parts.ts";
import { addProjected, mlp, projectHeads } from "./pre-norm.ts";

/** The largest side of a window. */
const WINDOW = 4;
const NAMES = { mlpNorm: "layernorm_after", up: "intermediate/dense", active: "intermediate", down: "output/dense" };

/** Tokens that are places of a grid, row by row. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
  readonly width: number;
  readonly heads: number;
}

/** Attention within square windows, with a learned bias for each relative place; every second layer's windows are shifted. */
export function swinLayer(g: Builder, path: string, x: string, grid: Grid, o: Resolved, isShifted: boolean): string {
  const { rows, columns, width } = grid;
  const side = Math.min(WINDOW, rows, columns);
  const shift = isShifted && (side < rows || side < columns) ? side / 2 : 0;
  const heads = { count: grid.heads, size: o.headDim };
  const size = { ...grid, hidden: width, headDim: o.headDim, intermediate: width * 2, layers: o.layers };
  const batch = dim(g, path, x, 0);
  const y = layerNorm(g, `${path}/layernorm_before`, x, width);
  const placed = g.op(`${path}/Reshape`, [y, shape(g, path, [batch, rows, columns, width])]);
  const moved = roll(g, path, placed, shift);
  const split = [batch, rows / side, side, columns / side, side, width];
  const apart = g.op(`${path}/Transpose`, [g.op(`${path}/Reshape`, [moved, shape(g, path, split)])], {
    perm: [0, 1, 3, 2, 4, 5],
  });
  const windows = g.op(`${path}/Reshape`, [apart, [-1, side * side, width]]);
  const self = `${path}/attention/self`;
  const parts = (["query", "key", "value"] as const).map((name) =>
    projectHeads(g, self, `${self}/${name}`, windows, width, heads, true),
  ) as [string, string, string];
  const attended = attend(g, self, parts, heads, { mask: placeBias(g, self, side, grid.heads) });
  const joined = [batch, rows / side, columns / side, side, side, heads.count * heads.size];
  const together = g.op(`${path}/Transpose`, [g.op(`${path}/Reshape`, [attended, shape(g, path, joined)])], {
    perm: [0, 1, 3, 2, 4, 5],
  });
  const inner = heads.count * heads.size;
  const back = roll(
    g,
    path,
    g.op(`${path}/Reshape`, [together, shape(g, path, [batch, rows, columns, inner])]),
    -shift,
  );
  const flat = g.op(`${path}/Reshape`, [back, shape(g, path, [batch, rows * columns, inner])]);
  const middle = addProjected(g, path, `${path}/attention/output/dense`, x, flat, inner, size);
  return mlp(g, path, middle, size, NAMES, gelu);
}

/** Rows and columns moved by `shift`, what leaves on one side coming in on the other. */
function roll(g: Builder, path: string, x: string, shift: number): string {
  if (shift === 0) return x;
  const along = (y: string, axis: number): string => {
    const end = Number.MAX_SAFE_INTEGER;
    const parts = [
      g.op(`${path}/Slice`, [y, [shift], [end], [axis]]),
      g.op(`${path}/Slice`, [y, [0], [shift], [axis]]),
    ];
    return g.op(`${path}/Concat`, parts, { axis });
  };
  return along(along(x, 1), 2);
}

/** [1, heads, side², side²] */
function placeBias(g: Builder, path: string, side: number, heads: number): string {
  const places = side * side;
  const span = 2 * side - 1;
  const table = g.noise(`${dotted(path)}.relative_position_bias_table`, [span * span, heads], 0.5);
  const relative = Array.from({ length: places * places }, (_, index) => {
    const [from, to] = [Math.floor(index / places), index % places];
    const row = Math.floor(from / side) - Math.floor(to / side) + side - 1;
    return row * span + (from % side) - (to % side) + side - 1;
  });
  const index = g.int64(`${dotted(path)}.relative_position_index`, [places * places], relative);
  const values = g.op(`${path}/Reshape`, [g.op(`${path}/Gather`, [table, index]), [places, places, heads]]);
  return g.op(`${path}/Unsqueeze`, [g.op(`${path}/Transpose`, [values], { perm: [2, 0, 1] }), [0]]);
}

/** Four neighbours side by side, projected to twice the width. */
export function patchMerging(g: Builder, path: string, x: string, { rows, columns, width }: Grid): string {
  const batch = dim(g, path, x, 0);
  const placed = g.op(`${path}/Reshape`, [x, shape(g, path, [batch, rows, columns, width])]);
  const every = (row: number, column: number): string =>
    g.op(`${path}/Slice`, [placed, [row, column], [rows, columns], [1, 2], [2, 2]]);
  const four = g.op(`${path}/Concat`, [every(0, 0), every(1, 0), every(0, 1), every(1, 1)], { axis: -1 });
  const flat = g.op(`${path}/Reshape`, [four, shape(g, path, [batch, (rows * columns) / 4, width * 4])]);
  return linear(g, `${path}/reduction`, layerNorm(g, `${path}/norm`, flat, width * 4), width * 4, width * 2);
}
