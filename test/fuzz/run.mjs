/**
 * `npm run fuzz`: plans damaged model files: never a hang, a crash, an untyped error or more than 256 MB; a plan or a refusal.
 *
 *     npm run fuzz -- [--count 100000] [--seed 1] [--from 0] [--lanes 2]
 *
 * A case is replayed by its seed and number: --seed 1 --from 4711 --count 1.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { fuzz } from "./fuzz.mjs";

/** At least this share of the damaged files still gives a plan: a planner that refuses everything passes nothing. */
const PLANS_SHARE_MIN = 0.3;

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
    lanes: { type: "string", default: String(Math.min(4, availableParallelism())) },
  },
});
const [count, seed, from] = [Number(values.count), Number(values.seed), Number(values.from)];
const lanes = Math.min(count, Number(values.lanes));
const { outcomes, bad, grownMb, seconds } = await fuzz({ seed, from, count, lanes });
for (const line of bad.slice(0, 20)) console.log(`✗ ${line}`);
console.table(outcomes);
const share = (outcomes["plan"] ?? 0) / count;
const isFew = count > 100 && share < PLANS_SHARE_MIN;
console.log(
  `${count} files, seed ${seed}: ${(share * 100).toFixed(1)} % gave a plan, memory grew by ${grownMb.toFixed(0)} MB`,
);
console.log(`${bad.length} bad in ${seconds.toFixed(1)} s${isFew ? "; too few plans" : ""}`);
process.exitCode = bad.length > 0 || isFew ? 1 : 0;
