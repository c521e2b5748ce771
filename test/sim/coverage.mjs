/**
 * A line a fault: in each phase, how often it hit a session at each level.
 * @param {Readonly<Record<string, number>>} counts by `fault phase level`
 * @returns {{ rows: string[], empty: string[] }}
 */
export function tableOf(counts) {
  const cells = Object.keys(counts).map((cell) => cell.split(" "));
  const [faults, phases, levels] = [0, 1, 2].map((part) => [...new Set(cells.map((cell) => cell[part] ?? ""))]);
  const line = (/** @type {string} */ name, /** @type {string[]} */ columns) =>
    name.padEnd(23) + columns.map((column) => column.padStart(18)).join("");
  const rows = (faults ?? []).map((fault) =>
    line(
      fault,
      (phases ?? []).map((phase) => (levels ?? []).map((level) => counts[`${fault} ${phase} ${level}`]).join("/")),
    ),
  );
  const head = [
    line("", phases ?? []),
    line(
      "",
      (phases ?? []).map(() => (levels ?? []).join("/")),
    ),
  ];
  return { rows: [...head, ...rows], empty: Object.keys(counts).filter((cell) => counts[cell] === 0) };
}
