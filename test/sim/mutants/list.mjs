/**
 * Rules of recovery, each broken in one place. The simulator must notice every one of them.
 * @type {readonly import("../simulate.mjs").Mutant[]}
 */
export const MUTANTS = [
  {
    name: "no fencing: a driver goes on with a wiring that a newer one has replaced",
    file: "src/driver/session-driver.ts",
    find: "    if (epoch !== this.epoch) return;\n    const statuses",
    replace: "    const statuses",
  },
  {
    name: "no bound: the ladder is climbed for ever",
    file: "src/fault/decide-recovery.ts",
    find: "step === undefined || climbs >= policy.attemptsMax",
    replace: "step === undefined",
  },
  {
    name: "acknowledged before durable: a checkpoint counts as stored before it is",
    file: "src/host/keeper.ts",
    find: "      await this.needs.stores.writeCheckpoint(",
    replace:
      '      frame.emit("stored", { run: record.run, error: null });\n      await this.needs.stores.writeCheckpoint(',
  },
  {
    name: "the wrong run is restored: the one before the safe one",
    file: "src/host/stage.ts",
    find: 'from === "records" ? await this.needs.records(run) : []',
    replace: 'from === "records" ? (await this.needs.records(run)).slice(0, -1) : []',
  },
  {
    name: "two recoveries at once: a stage that is lost is lost again",
    file: "src/pool/recovery-manager.ts",
    find: '    if (session.stages[stage]?.phase === "lost") return;\n',
    replace: "",
  },
  {
    name: "dropped dedupe: a run that arrives twice is done twice",
    file: "src/host/stage.ts",
    find: "    if (this.run !== null && run <= this.run) return;\n",
    replace: "",
  },
  {
    name: "nothing is kept: outputs are gone once they are sent",
    file: "src/host/stage.ts",
    find: "      if (this.options.durable) this.keep(answer);\n",
    replace: "",
  },
  {
    name: "a failed run is not skipped when it is done again",
    file: "src/page/session.ts",
    find: 'if (error.code !== "ABORTED") this.log.markFailed(run, toErrorData(error));',
    replace: "",
  },
  {
    name: "a run that fails when it is done again is skipped",
    file: "src/host/stage.ts",
    find: "head.run <= this.answered",
    replace: "head.run < -1",
  },
  {
    name: "feeds are dropped when they are answered, not when they are safe",
    file: "src/page/session.ts",
    find: "    this.acked = run;\n",
    replace: "    this.acked = run;\n    this.log.drop(run);\n",
  },
  {
    name: "the replaced host is left open",
    file: "src/pool/recovery-manager.ts",
    find: "    await this.hosts.close(record.hostId);\n",
    replace: "",
  },
  {
    name: "sleep is silence: the hang detector counts time in which it did not run",
    file: "src/fault/hang-detector.ts",
    find: "this.clock += Math.min(elapsed, TICK_CREDIT_MS);",
    replace: "this.clock += elapsed;",
  },
  {
    name: "a stage goes on in channels that nobody has agreed on",
    file: "src/host/stage.ts",
    find: "    this.waiting.clear();\n    this.held = true;",
    replace: "    this.waiting.clear();",
  },
];
