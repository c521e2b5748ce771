import { describe, expect, it } from "vitest";
import { ERROR_CATEGORIES } from "../../../src/base/errors.ts";
import {
  decideRecovery,
  type Fault,
  type Recovery,
  type RecoveryCommand,
  type RecoveryEvent,
  type RecoveryPolicy,
} from "../../../src/fault/decide-recovery.ts";
import { FAULT_TOLERANCE_LEVELS, RECOVERY_STRATEGIES } from "../../../src/fault/levels.ts";
import { Random } from "../random.ts";

const HEALTHY = { phase: "healthy" } as Recovery;
const CRASH: Fault = { category: "CRASH", signal: "frame process gone", pageGone: false, hostDropped: true };
const POLICY: RecoveryPolicy = { level: "medium", strategy: "progressive", attemptsMax: 3, backoffMs: [0, 100, 500] };

function play(events: readonly RecoveryEvent[], policy = POLICY): { state: Recovery; commands: RecoveryCommand[] } {
  const commands: RecoveryCommand[] = [];
  let state = HEALTHY;
  for (const event of events) {
    const [next, some] = decideRecovery(state, event, policy);
    state = next;
    commands.push(...some);
  }
  return { state, commands };
}
const fault = (now = 0, what = CRASH): RecoveryEvent => ({ type: "fault", fault: what, now });

describe("one recovery", () => {
  it("climbs at once, verifies and is healthy", () => {
    const { state, commands } = play([fault(5), { type: "ready" }, { type: "verified" }]);
    expect(commands).toEqual([{ type: "climb", step: "restart", delayMs: 0 }]);
    expect(state).toEqual(HEALTHY);
  });
  it("climbs higher and waits longer when it fails again, then gives up", () => {
    const { state, commands } = play([fault(1), fault(2), { type: "ready" }, fault(3), fault(4)]);
    expect(commands).toEqual([
      { type: "climb", step: "restart", delayMs: 0 },
      { type: "climb", step: "failover", delayMs: 100 },
      { type: "climb", step: "failover", delayMs: 500 },
      { type: "give_up", fault: CRASH },
    ]);
    expect(state).toEqual({ phase: "given_up", fault: CRASH });
  });
  it("starts anew after verified work", () => {
    const healed: RecoveryEvent[] = [fault(), { type: "ready" }, { type: "verified" }];
    expect(play([...healed, ...healed, ...healed, ...healed]).commands).toHaveLength(4);
  });
  it("counts a fault before anything was verified as the same trouble", () => {
    expect(play([fault(7), { type: "ready" }, fault(9)]).state).toMatchObject({ phase: "trying", climbs: 2, since: 7 });
  });
  it("gives up at once where the strategy has no step", () => {
    expect(play([fault()], { ...POLICY, strategy: "reconnect" }).commands).toEqual([{ type: "give_up", fault: CRASH }]);
  });
});

describe("events that come too late or too early change nothing", () => {
  const states: readonly Recovery[] = [
    HEALTHY,
    { phase: "trying", climbs: 1, since: 0, fault: CRASH },
    { phase: "verifying", climbs: 1, since: 0, fault: CRASH },
    { phase: "given_up", fault: CRASH },
  ];
  it.each([
    ["ready", ["healthy", "verifying", "given_up"]],
    ["verified", ["healthy", "trying", "given_up"]],
    ["fault", ["given_up"]],
  ] as const)("%s in %j", (type, phases) => {
    for (const state of states.filter(({ phase }) => (phases as readonly string[]).includes(phase))) {
      const [next, commands] = decideRecovery(state, type === "fault" ? fault() : { type }, POLICY);
      expect(next).toBe(state);
      expect(commands).toEqual([]);
    }
  });
});

it("whatever happens, climbs are bounded between two verified answers, and nothing follows giving up", () => {
  for (let seed = 1; seed <= 2_000; seed++) {
    const random = new Random(seed);
    const policy: RecoveryPolicy = {
      level: random.pick(FAULT_TOLERANCE_LEVELS),
      strategy: random.pick(RECOVERY_STRATEGIES),
      attemptsMax: random.below(5),
      backoffMs: [0, 10],
    };
    let state = HEALTHY;
    let climbs = 0;
    for (let step = 0; step < 40; step++) {
      const event = anything(random, step);
      const before = structuredClone(state);
      const [next, commands] = decideRecovery(state, event, policy);
      expect(state, `seed ${seed}`).toEqual(before);
      if (state.phase === "given_up") expect([next, commands], `seed ${seed}`).toEqual([state, []]);
      if (state.phase === "verifying" && next.phase === "healthy") climbs = 0;
      climbs += commands.filter(({ type }) => type === "climb").length;
      expect(climbs, `seed ${seed}`).toBeLessThanOrEqual(policy.attemptsMax);
      // A fault is never left without an answer.
      if (event.type === "fault" && state.phase !== "given_up") expect(commands, `seed ${seed}`).toHaveLength(1);
      state = next;
    }
  }
});

function anything(random: Random, now: number): RecoveryEvent {
  const type = random.pick(["fault", "ready", "verified"] as const);
  if (type !== "fault") return { type };
  const seen = { pageGone: random.chance(0.3), hostDropped: random.chance(0.5) };
  return { type, fault: { category: random.pick(ERROR_CATEGORIES), signal: "seen", ...seen }, now };
}
