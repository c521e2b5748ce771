/** From here on, for a while, the first session of every history is at level critical. */
const VOTING_FROM = 500;

/**
 * Rules of recovery, each broken in one place. The simulator must notice every one of them. `seeds`: histories
 * in which it was noticed last; where none of them shows it any more, it is looked for anew in those from `from` (1) on.
 * @type {readonly import("../simulate.mjs").Mutant[]}
 */
export const MUTANTS = [
  {
    name: "no bound: the ladder is climbed for ever",
    file: "src/fault/decide-recovery.ts",
    find: "steps === undefined || climbs >= policy.attemptsMax",
    replace: "steps === undefined",
    seeds: [23],
  },
  {
    name: "acknowledged before durable: a checkpoint counts as stored before it is",
    file: "src/host/keeper.ts",
    find: "      await this.needs.stores.writeCheckpoint(",
    replace:
      '      frame.emit("stored", { run: record.run, error: null });\n      await this.needs.stores.writeCheckpoint(',
    seeds: [50],
  },
  {
    name: "the wrong run is restored: the one before the safe one",
    file: "src/host/stage.ts",
    find: 'from === "records" ? await this.needs.records(run) : []',
    replace: 'from === "records" ? (await this.needs.records(run)).slice(0, -1) : []',
    seeds: [5],
  },
  {
    name: "two recoveries at once: a stage that is lost is lost again",
    file: "src/pool/recovery-manager.ts",
    find: '    if (session.stages[stage]?.phase === "lost") return;\n',
    replace: "",
    seeds: [23],
  },
  {
    name: "nothing is kept: outputs are gone once they are sent",
    file: "src/host/stage.ts",
    find: "      if (this.options.durable) this.keep(answer);\n",
    replace: "",
    seeds: [78],
  },
  {
    name: "a failed run is not skipped when it is done again",
    file: "src/page/session.ts",
    find: 'if (error.code !== "ABORTED") this.log.markFailed(run, toErrorData(error));',
    replace: "",
    seeds: [29],
  },
  {
    name: "feeds are dropped when they are answered, not when they are safe",
    file: "src/page/session.ts",
    find: "    this.acked = run;\n    this.acks.grow(run);\n",
    replace: "    this.acked = run;\n    this.acks.grow(run);\n    this.log.drop(run);\n",
    seeds: [26],
  },
  {
    name: "sleep is silence: the hang detector counts time in which it did not run",
    file: "src/fault/hang-detector.ts",
    find: "this.clock += Math.min(elapsed, TICK_CREDIT_MS);",
    replace: "this.clock += elapsed;",
    seeds: [2],
  },
  {
    name: "a stage goes on in channels that nobody has agreed on",
    file: "src/host/stage.ts",
    find: "    this.waiting.clear();\n    this.hold();",
    replace: "    this.waiting.clear();",
    seeds: [395],
  },
  {
    name: "what ended sessions stored is kept for ever",
    file: "src/pool/session-manager.ts",
    find: "    await forgetStored(this.needs, sessionId);\n",
    replace: "",
    seeds: [35],
  },
  {
    name: "a new service worker forgets what it was in the middle of",
    file: "src/pool/start.ts",
    find: 'if (record.phase !== "ready") pool.resumeRecovery',
    replace: 'if (record.phase === "nowhere") pool.resumeRecovery',
    seeds: [77],
  },
  {
    name: "the tab of a host that is out of the books is left open",
    file: "src/pool/start.ts",
    find: "    if (!isHost(pool.state, hostId)) await needs.closePage",
    replace: "    if (hostId === null) await needs.closePage",
    seeds: [125],
  },
  {
    name: "the first answer wins the vote",
    file: "src/fault/vote.ts",
    find: "  const needed = majorityOf(voters);\n  let most",
    replace: "  const needed = 1;\n  let most",
    seeds: [574],
    from: VOTING_FROM,
  },
  {
    name: "state is called durable when one of the hosts that vote has stored it",
    file: "src/driver/stage-group.ts",
    find: "if (by.length < majorityOf(this.hosts.length)) return;",
    replace: "if (by.length < 1) return;",
    seeds: [505],
    from: VOTING_FROM,
  },
];
