/**
 * `npm run sim`: plays random histories of faults against pool, driver, client library, keepers and stages in simulated time.
 *
 *     npm run sim -- [--histories 10000] [--from 1] [--lanes 2]     so many seeds from that one on; ends after --seconds,
 *                                                               which fails if fewer than --at-least were played
 *     npm run sim -- --seed N [--verbose]                           one history, shrunk when it fails; all that happens in it
 *     npm run sim -- --mutants [--only WORDS]                       that each broken rule is noticed
 *
 * A history is its seed: two plays are the same, event by event.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { tableOf } from "./coverage.mjs";
import { MUTANTS } from "./mutants/list.mjs";
import { simulate } from "./simulate.mjs";

/** Seeds among which a mutant is looked for that its own seeds do not show any more. */
const MUTANT_SEEDS = 1_500;
/** From so many histories on, every fault has met every phase at every level. */
const COVERED_FROM = 8_000;

const { values } = parseArgs({
  options: {
    histories: { type: "string", default: "10000" },
    from: { type: "string", default: "1" },
    lanes: { type: "string", default: String(Math.min(8, availableParallelism())) },
    seed: { type: "string" },
    mutants: { type: "boolean", default: false },
    only: { type: "string" },
    verbose: { type: "boolean", default: false },
    failures: { type: "string", default: "3" },
    seconds: { type: "string", default: "Infinity" },
    "at-least": { type: "string", default: "0" },
  },
});

if (values.mutants) await mutants();
else await histories();

async function histories() {
  const one = values.seed !== undefined;
  const from = Number(one ? values.seed : values.from);
  const count = one ? 1 : Number(values.histories);
  const lanes = Number(values.lanes);
  const result = await simulate({
    from,
    count,
    lanes,
    failuresMax: Number(values.failures),
    shrinks: true,
    verbose: values.verbose,
    seconds: Number(values.seconds),
  });
  for (const { seed, violations, kept, log } of result.failures) {
    console.log(`✗ ${violations.join("; ")}`);
    console.log(`  npm run sim -- --seed ${seed}      (its faults ${kept.join(", ")} are enough)`);
    for (const line of log) console.log(`    ${line}`);
  }
  const { rows, empty } = tableOf(result.coverage);
  if (!one) for (const row of rows) console.log(row);
  // Few histories cannot meet every fault in every phase at every level.
  const isLarge = result.histories >= COVERED_FROM;
  if (isLarge && empty.length > 0) console.log(`✗ never met: ${empty.join(", ")}`);
  const isEnough = result.histories >= Number(values["at-least"]);
  if (!isEnough)
    console.log(`✗ only ${result.histories} histories in ${values.seconds} s, of at least ${values["at-least"]}`);
  if (!one && !isLarge)
    console.log(`Too few to meet every fault in every phase at every level: that takes ${COVERED_FROM}.`);
  const rate = result.histories / result.seconds;
  console.log(
    `${result.histories} histories from seed ${from}, ${result.faults} faults, ${result.events} events (at least ${result.eventsMin} each, of ${result.faultsMin} faults and ${result.sessionsMin} sessions): ${result.failures.length} failed, in ${result.seconds.toFixed(1)} s (${rate.toFixed(0)} a second)`,
  );
  process.exitCode = result.failures.length > 0 || !isEnough || (isLarge && empty.length > 0) ? 1 : 0;
}

async function mutants() {
  const lanes = Number(values.lanes);
  const chosen = MUTANTS.filter(({ name }) => values.only === undefined || name.includes(values.only));
  /** @type {{ name: string, seed: number, violation: string, isNew: boolean }[]} */
  const noticed = [];
  for (const mutant of chosen) {
    const { seeds, name, from = 1 } = mutant;
    const known = seeds.length > 0 ? await simulate({ seeds, lanes }, mutant) : null;
    const found = known?.failures[0] ?? (await simulate({ from, count: MUTANT_SEEDS, lanes }, mutant)).failures[0];
    if (found === undefined) console.log(`✗ ${name}: not noticed in ${MUTANT_SEEDS} histories from ${from} on`);
    else {
      const violation = found.violations[0]?.split("\n")[0] ?? "";
      noticed.push({ name, seed: found.seed, violation, isNew: !seeds.includes(found.seed) });
    }
  }
  // A history that fails without it as well tells nothing.
  const seeds = [...new Set(noticed.map(({ seed }) => seed))];
  const own = new Set((await simulate({ seeds, lanes, failuresMax: seeds.length })).failures.map(({ seed }) => seed));
  for (const { name, seed, violation, isNew } of noticed) {
    const why = own.has(seed) ? "which fails without it as well" : violation;
    console.log(`${own.has(seed) ? "✗" : "✓"} ${name}: ${isNew ? "new " : ""}seed ${seed}, ${why}`);
  }
  const count = noticed.filter(({ seed }) => !own.has(seed)).length;
  console.log(`${count} of ${chosen.length} mutants noticed`);
  process.exitCode = count < chosen.length ? 1 : 0;
}
