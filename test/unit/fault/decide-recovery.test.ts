import { describe, expect, it } from "vitest";
import { ERROR_CATEGORIES } from "../../../src/base/errors.ts";
import { RECOVERY_ATTEMPTS_MAX, RECOVERY_BACKOFF_MS } from "../../../src/base/limits.ts";
import {
  decideRecovery,
  type Fault,
  type Recovery,
  type RecoveryCommand,
  type RecoveryEvent,
  type RecoveryPolicy,
} from "../../../src/fault/decide-recovery.ts";
import { FAULT_TOLERANCE_LEVELS, RECOVERY_STRATEGIES, type RecoveryStep } from "../../../src/fault/levels.ts";
import { Random } from "../random.ts";

const HEALTHY: Recovery = { phase: "healthy" };
const LOST: Fault = { category: "CONNECTION", signal: "tab closed", pageGone: false, hostDropped: false };
const CRASH: Fault = { category: "CRASH", signal: "frame process gone", pageGone: false, hostDropped: true };
const POLICY: RecoveryPolicy = {
  level: "medium",
  strategy: "progressive",
  attemptsMax: RECOVERY_ATTEMPTS_MAX,
  backoffMs: RECOVERY_BACKOFF_MS,
};

const faultAt = (now: number, fault: Fault = LOST): RecoveryEvent => ({ type: "fault", fault, now });

function follow(events: readonly RecoveryEvent[], policy: RecoveryPolicy = POLICY) {
  let state: Recovery = HEALTHY;
  const commands: RecoveryCommand[] = [];
  for (const event of events) {
    const [next, more] = decideRecovery(state, event, policy);
    state = next;
    commands.push(...more);
  }
  return { state, commands };
}

describe("each phase", () => {
  const trying: Recovery = { phase: "trying", tried: [["reconnect"]], since: 5, fault: LOST };
  const verifying: Recovery = { phase: "verifying", tried: [["reconnect"]], since: 5, fault: LOST };
  const givenUp: Recovery = { phase: "given_up", fault: LOST };
  const climbed = (steps: readonly RecoveryStep[], since: number, fault: Fault): Recovery => ({
    phase: "trying",
    tried: steps.map((step) => [step]),
    since,
    fault,
  });

  it.each<[Recovery, RecoveryEvent, Recovery]>([
    [HEALTHY, faultAt(9), climbed(["reconnect"], 9, LOST)],
    [HEALTHY, { type: "ready" }, HEALTHY],
    [HEALTHY, { type: "verified" }, HEALTHY],
    [trying, faultAt(9, CRASH), climbed(["reconnect", "restart"], 5, CRASH)],
    [trying, { type: "ready" }, verifying],
    [trying, { type: "verified" }, trying],
    [verifying, faultAt(9, CRASH), climbed(["reconnect", "restart"], 5, CRASH)],
    [verifying, { type: "ready" }, verifying],
    [verifying, { type: "verified" }, HEALTHY],
    [givenUp, faultAt(9, CRASH), givenUp],
    [givenUp, { type: "ready" }, givenUp],
    [givenUp, { type: "verified" }, givenUp],
  ])("%o, told %o, becomes %o", (state, event, next) => {
    expect(decideRecovery(state, event, POLICY)[0]).toEqual(next);
  });
});

describe("a stage that keeps failing", () => {
  it("climbs the ladder with growing waits, then gives up with the last fault", () => {
    const { state, commands } = follow([faultAt(1), faultAt(2), faultAt(3), faultAt(4, CRASH), faultAt(5)]);
    expect(commands).toEqual([
      { type: "climb", steps: ["reconnect"], tried: [], delayMs: RECOVERY_BACKOFF_MS[0] },
      { type: "climb", steps: ["restart"], tried: [["reconnect"]], delayMs: RECOVERY_BACKOFF_MS[1] },
      { type: "climb", steps: ["failover"], tried: [["reconnect"], ["restart"]], delayMs: RECOVERY_BACKOFF_MS[2] },
      { type: "give_up", fault: CRASH, tried: [["reconnect"], ["restart"], ["failover"]] },
    ]);
    expect(state).toEqual({ phase: "given_up", fault: CRASH });
  });

  it("repeats the last step and the last wait of a list that is too short", () => {
    const policy: RecoveryPolicy = { ...POLICY, strategy: "restart", attemptsMax: 4, backoffMs: [7, 8] };
    const { commands } = follow(
      [1, 2, 3, 4].map((now) => faultAt(now)),
      policy,
    );
    expect(commands.map((command) => command.type === "climb" && [...command.steps, command.delayMs])).toEqual([
      ["restart", 7],
      ["restart", 8],
      ["restart", 8],
      ["restart", 8],
    ]);
  });

  it("only goes up: what its last fault had no step for is not tried below what was", () => {
    const { commands } = follow([faultAt(1, CRASH), faultAt(2), faultAt(3, CRASH)]);
    expect(commands.map((command) => command.type === "climb" && command.steps)).toEqual([
      ["restart"],
      ["failover"],
      ["failover"],
    ]);
  });

  it("gives up at once where no step can help", () => {
    const { commands } = follow([faultAt(1, CRASH)], { ...POLICY, strategy: "reconnect" });
    expect(commands).toEqual([{ type: "give_up", fault: CRASH, tried: [] }]);
  });

  it("starts from the first step again once it did verified work", () => {
    const { commands } = follow([faultAt(1), faultAt(2), { type: "ready" }, { type: "verified" }, faultAt(3)]);
    expect(commands.at(-1)).toEqual({ type: "climb", steps: ["reconnect"], tried: [], delayMs: 0 });
  });

  it("does not start again merely because a replacement was ready", () => {
    const events: RecoveryEvent[] = [1, 2, 3].flatMap((now) => [faultAt(now), { type: "ready" }]);
    expect(follow([...events, faultAt(4)]).state.phase).toBe("given_up");
  });
});

describe("any sequence of events", () => {
  const SEEDS = Array.from({ length: 300 }, (_, seed) => seed);

  it("climbs at most attemptsMax times without verified work, and given_up is final", () => {
    for (const seed of SEEDS) {
      const random = new Random(seed);
      const policy: RecoveryPolicy = {
        level: random.pick(FAULT_TOLERANCE_LEVELS),
        strategy: random.pick(RECOVERY_STRATEGIES),
        attemptsMax: random.below(5),
        backoffMs: RECOVERY_BACKOFF_MS,
      };
      expect(violationOf(policy, random), `seed ${seed}`).toBeNull();
    }
  });
});

/** Follows sixty random events; what went wrong, or null. */
function violationOf(policy: RecoveryPolicy, random: Random): string | null {
  let state: Recovery = HEALTHY;
  let climbs = 0;
  for (let now = 0; now < 60; now++) {
    const [next, commands]: readonly [Recovery, readonly RecoveryCommand[]] = decideRecovery(
      state,
      eventOf(random, now),
      policy,
    );
    climbs += commands.filter(({ type }) => type === "climb").length;
    if (climbs > policy.attemptsMax) return `${climbs} climbs at event ${now}`;
    if (commands.length > 1) return `${commands.length} commands at event ${now}`;
    if (state.phase === "given_up" && (next !== state || commands.length > 0)) return `given_up left at event ${now}`;
    if (next.phase === "healthy") climbs = 0;
    state = next;
  }
  return null;
}

function eventOf(random: Random, now: number): RecoveryEvent {
  const type = random.pick(["fault", "fault", "ready", "verified"] as const);
  if (type !== "fault") return { type };
  const category = random.pick(ERROR_CATEGORIES);
  return faultAt(now, { category, signal: "", pageGone: random.chance(0.3), hostDropped: random.chance(0.3) });
}
