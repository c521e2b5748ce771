/**
 * `npm run sim`: plays random histories of faults against pool, driver, client library, keepers and stages in simulated time.
 *
 *     npm run sim -- [--histories 10000] [--from 1] [--lanes 2]     so many seeds from that one on
 *     npm run sim -- --seed N [--verbose]                           one history, shrunk when it fails; all that happens in it
 *     npm run sim -- --mutants                                      that each broken rule is noticed
 *
 * A history is its seed: two plays are the same, event by event.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { tableOf } from "./coverage.mjs";
import { MUTANTS } from "./mutants/list.mjs";
import { simulate } from "./simulate.mjs";

/** Seeds among which a mutant must be noticed. */
const MUTANT_SEEDS = 1_500;

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
  });
  for (const { seed, violations, kept, log } of result.failures) {
    console.log(`✗ ${violations.join("; ")}`);
    console.log(`  npm run sim -- --seed ${seed}      (its faults ${kept.join(", ")} are enough)`);
    for (const line of log) console.log(`    ${line}`);
  }
  const { rows, empty } = tableOf(result.coverage);
  if (!one) for (const row of rows) console.log(row);
  // Few histories cannot meet every fault in every phase at every level.
  const isLarge = count >= 5_000;
  if (isLarge && empty.length > 0) console.log(`✗ never met: ${empty.join(", ")}`);
  const rate = result.histories / result.seconds;
  console.log(
    `${result.histories} histories from seed ${from}, ${result.faults} faults, ${result.events} events (at least ${result.eventsMin} each): ${result.failures.length} failed, in ${result.seconds.toFixed(1)} s (${rate.toFixed(0)} a second)`,
  );
  process.exitCode = result.failures.length > 0 || (isLarge && empty.length > 0) ? 1 : 0;
}

async function mutants() {
  const chosen = MUTANTS.filter(({ name }) => values.only === undefined || name.includes(values.only));
  let noticed = 0;
  for (const mutant of chosen) {
    const options = { from: 1, count: MUTANT_SEEDS, lanes: Number(values.lanes), failuresMax: 5 };
    const { failures, histories: played } = await simulate(options, mutant);
    // A history that fails without it as well tells nothing.
    let first;
    for (const failure of failures) {
      const { failures: own } = await simulate({ from: failure.seed, count: 1, lanes: 1 });
      if (own.length === 0) first ??= failure;
    }
    if (first === undefined) {
      console.log(`✗ ${mutant.name}: not noticed in ${played} histories`);
      continue;
    }
    noticed++;
    console.log(`✓ ${mutant.name}: seed ${first.seed}, ${first.violations[0]?.split("\n")[0]}`);
  }
  console.log(`${noticed} of ${chosen.length} mutants noticed`);
  process.exitCode = noticed < chosen.length ? 1 : 0;
}
