import { HoldfastError } from "../../../../src/base/errors.ts";
import { PLATFORM } from "../../../../src/base/platform.ts";
import { RpcPeer, servePort } from "../../../../src/base/rpc.ts";
import type { WireTensors } from "../../../../src/base/tensor.ts";
import { Driver } from "../../../../src/driver/driver.ts";
import { ChannelWirer } from "../../../../src/driver/wiring.ts";
import { type FaultToleranceLevel, LEVELS, type RecoveryStrategy } from "../../../../src/fault/levels.ts";
import type { DriverPeer } from "../../../../src/page/bridge-connection.ts";
import type { Resident } from "../../../../src/page/residents.ts";
import { Session } from "../../../../src/page/session.ts";
import type { ClientCalls, ClientEvents, DriverEvents, KnownGeneration } from "../../../../src/protocol/client.ts";
import type { SessionEvent, StageInfo } from "../../../../src/protocol/events.ts";
import { replicasOf } from "../../../../src/protocol/options.ts";
import type { DriverReports, PoolCalls, SessionInfo, TokensEntry } from "../../../../src/protocol/pool.ts";
import { parseSessionOptions } from "../../../../src/protocol/session-options.ts";
import type { PlanSummary } from "../../../../src/shard/summary.ts";
import type { ShardSpec } from "../../../../src/shard/types.ts";
import { Random } from "../../random.ts";
import { FakeCheckpoints } from "./fake-checkpoints.ts";
import { FakeHost } from "./fake-host.ts";
import { idsTensor, planOf, specsOf } from "./model.ts";

/** What hosts compute with; without it, the stand-in of model.ts. */
export interface WorldModel {
  readonly specs: readonly ShardSpec[];
  readonly plan: PlanSummary;
  execute(spec: ShardSpec, inputs: WireTensors): Promise<WireTensors>;
}

export interface WorldOptions {
  readonly model?: WorldModel;
  readonly stages: number;
  readonly level?: FaultToleranceLevel;
  readonly strategy?: RecoveryStrategy;
  /** At level high: the share of runs that a second host does as well. */
  readonly spotCheck?: number;
  /** The model keeps state between runs, as a decoder does. Default: yes. */
  readonly stateful?: boolean;
  /** Share of messages that arrive twice. */
  readonly duplicates?: number;
  /** Share of restores that are never answered. */
  readonly lostRestores?: number;
  /** How long the driver waits for ports to arrive and for answers of stages; in its own limits by default. */
  readonly limits?: { readonly arrivalMs: number; readonly answerMs: number };
  /** A session without a run for so long gives its hosts back. */
  readonly idleMs?: number;
  /** Share of checkpoints that cannot be stored. */
  readonly failedWrites?: number;
  readonly checkpointIntervalMs?: number;
}

const SESSION_ID = "session";

/**
 * A whole session in one process: the real client session, the real driver and the real stages over real channels. Only
 * the computation, the storage and the pool are stand-ins, and the pool's part is to say what died and what replaced it.
 */
export class World {
  readonly random: Random;
  readonly events: SessionEvent[] = [];
  readonly hosts: FakeHost[];
  readonly reports: string[] = [];
  /** What the driver said when it was to stand still. */
  private readonly stills: boolean[] = [];
  /** The pool moves one thing at a time. */
  private moving: Promise<unknown> = Promise.resolve();
  session!: Session;
  /** Ports that go to hosts while this is true are lost, as with a service worker that dies. */
  losingPorts = false;
  /** Whether this stage's next checkpoint cannot be stored. */
  writesFail: (stage: number) => boolean = () => false;
  /** What the driver had journalled, in order. */
  readonly entries: TokensEntry[] = [];
  durableRun = -1;
  parks = 0;
  /** Every host of this row lies, the successors too. */
  liesAlways: number | null = null;
  private isParked = false;
  private readonly buried: FakeHost[] = [];
  readonly checkpoints = new FakeCheckpoints();
  private readonly stages: StageInfo[];
  private bridge: { driver: Driver; alive: boolean; port: MessagePort; peer: DriverPeer } | null = null;
  private readonly info: Omit<SessionInfo, "stages">;
  /** Hosts that run each stage: the first of each stage, then the second of each, and so on. */
  readonly replicas: number;
  /** Hosts that were outvoted, and at which run. */
  readonly outvoted: { readonly row: number; readonly run: number }[] = [];

  constructor(
    seed: number,
    private readonly options: WorldOptions,
  ) {
    this.random = new Random(seed);
    const specs = this.specs;
    const asked = parseSessionOptions({
      shards: options.stages,
      faultToleranceLevel: options.level ?? "medium",
      recoveryStrategy: options.strategy,
      checkpointIntervalMs: options.checkpointIntervalMs,
      ...(options.spotCheck === undefined ? {} : { spotCheck: options.spotCheck }),
    });
    this.info = { sessionId: SESSION_ID, secret: "secret", plan: options.model?.plan ?? planOf(specs), options: asked };
    this.replicas = replicasOf(asked);
    const rows = Array.from({ length: specs.length * this.replicas }, (_, row) => row);
    this.hosts = rows.map((row) => this.newHost(row));
    this.stages = rows.map((row) => this.stageInfo(row, 0));
  }

  private get specs(): readonly ShardSpec[] {
    const { model, stages, stateful } = this.options;
    return model?.specs ?? specsOf(stages, stateful);
  }

  async open(): Promise<void> {
    const peer = this.newBridge();
    this.session = this.newSession(peer);
    const info = await peer.call("open", {
      openId: "open",
      model: "model",
      options: this.info.options,
      tokenizer: null,
    });
    this.session.opened(info);
  }

  /** The logits of one run. */
  async run(ids: readonly number[], reset: boolean): Promise<number[]> {
    const { logits } = await this.session.run({ input_ids: idsTensor(ids) }, { reset });
    return Array.from(logits?.data as Float32Array);
  }

  /** As `run`, from what a handle keeps, and what it keeps itself. */
  async runKept(
    ids: readonly number[],
    { keep, ...options }: { from?: Resident; reset?: boolean; keep: boolean },
  ): Promise<{ logits: number[]; state: Resident | null }> {
    const feeds = { input_ids: idsTensor(ids) };
    if (!keep) {
      const { logits } = await this.session.run(feeds, options);
      return { logits: Array.from(logits?.data as Float32Array), state: null };
    }
    const { outputs, state } = await this.session.run(feeds, { ...options, keep });
    return { logits: Array.from(outputs["logits"]?.data as Float32Array), state };
  }

  /** Computations of all hosts that there ever were. */
  get executed(): number {
    return [...this.hosts, ...this.buried].reduce((sum, host) => sum + host.executed, 0);
  }
  /** Bytes of state that the stages hold. */
  get stateBytes(): readonly number[] {
    return this.hosts.map((host) => host.stateBytes);
  }

  /** Kills a stage's host and, after a while, puts another in its place. */
  async kill(stage: number): Promise<void> {
    const old = this.stages[stage];
    if (old === undefined || old.phase !== "ready") return;
    const host = this.hosts[stage];
    host?.kill();
    if (host !== undefined) this.buried.push(host);
    this.stages[stage] = { ...old, phase: "lost" };
    await this.turns(6);
    const { hostId, attempt } = old;
    this.tell({ type: "fault", at: 0, stage, hostId, attempt, category: "CRASH", signal: "frame process gone" });
    await this.turns(30);
    this.hosts[stage] = this.newHost(stage);
    const info = this.stageInfo(stage, old.attempt + 1);
    this.stages[stage] = info;
    this.tell({ type: "stage", stage: info });
  }

  /**
   * A stage goes to another host as planned, once the session stands still. False: it does not. Between, `happens`, and then
   * nothing is exchanged where it says so.
   */
  move(stage: number, happens: () => Promise<boolean> = async () => true): Promise<boolean> {
    const moved = this.moving.then(() => this.moveNow(stage, happens));
    this.moving = moved;
    return moved;
  }

  private async moveNow(stage: number, happens: () => Promise<boolean>): Promise<boolean> {
    const { bridge } = this;
    const before = this.stills.length;
    bridge?.driver.poolEvents().standStill({ sessionId: SESSION_ID }, []);
    // Nobody hears of a bridge that died.
    while (this.stills.length === before && this.bridge === bridge && bridge !== null) await new Promise(setImmediate);
    if (!this.stills[before]) return false;
    const old = this.stages[stage];
    if (!(await happens()) || old === undefined || old.phase !== "ready") {
      for (const info of this.stages) this.tell({ type: "stage", stage: info });
      return false;
    }
    const info = this.stageInfo(stage, old.attempt + 1);
    this.tell({ type: "stage", stage: { ...info, phase: "starting" } });
    this.stages[stage] = { ...info, phase: "starting" };
    const host = this.hosts[stage];
    host?.kill();
    if (host !== undefined) this.buried.push(host);
    await this.turns(20);
    this.hosts[stage] = this.newHost(stage);
    this.stages[stage] = info;
    this.tell({ type: "stage", stage: info });
    return true;
  }

  /** One host is going to give one wrong bit; its row. */
  lie(row = this.random.below(this.hosts.length)): number {
    const host = this.hosts[row];
    const hasRows = this.specs[row % this.specs.length]?.state.length !== 0;
    if (host !== undefined) host.lie = hasRows && this.random.chance(0.5) ? "rows" : "output";
    return row;
  }

  /** Resolves when no host is lost, and none is going to lie. */
  async whole(): Promise<void> {
    while (this.stages.some(({ phase }) => phase !== "ready") || this.hosts.some(({ lie }) => lie !== null))
      await new Promise(setImmediate);
  }

  /** The bridge frame dies with its driver; the page inserts another and takes its session up again. */
  async loseBridge(): Promise<void> {
    const old = this.bridge;
    if (old === null) return;
    this.bridge = null;
    old.alive = false;
    old.port.close();
    old.peer.close(new HoldfastError("EXTENSION_DISCONNECTED", "the bridge died"));
    this.session.bridgeLost();
    await this.turns(30);
    void this.session.attach(this.newBridge(), 0);
  }

  /**
   * The browser is killed: page, bridge and hosts are gone, storage stays, but for the newest entries of the journal. Another
   * page takes the session up.
   */
  async restart(lostEntries = 0): Promise<void> {
    this.entries.splice(this.entries.length - lostEntries, lostEntries);
    await this.loseAll();
    for (const [stage, host] of this.hosts.entries()) {
      host.kill();
      this.buried.push(host);
      this.hosts[stage] = this.newHost(stage);
      this.stages[stage] = this.stageInfo(stage, (this.stages[stage]?.attempt ?? 0) + 1);
    }
    await this.resume();
  }

  /** The page is reloaded: its hosts live on. */
  async reload(): Promise<void> {
    await this.loseAll();
    await this.resume();
  }

  private async loseAll(): Promise<void> {
    const old = this.bridge;
    this.bridge = null;
    if (old !== null) {
      old.alive = false;
      old.port.close();
      old.peer.close(new HoldfastError("EXTENSION_DISCONNECTED", "the page is gone"));
    }
    await this.turns(3);
  }

  private async resume(): Promise<void> {
    const peer = this.newBridge();
    this.session = this.newSession(peer);
    const params = { openId: "again", sessionId: SESSION_ID, tokenizer: null };
    this.session.resumed(await peer.call("resume", params));
  }

  losePool(): void {
    this.bridge?.driver.poolLost();
  }

  /** The pool asks such hosts; those that live and are well say so and stay. */
  private lookAfter({ hosts }: DriverReports["unreachable"]): void {
    for (const { hostId, attempt } of hosts) {
      const known = this.stages.find((stage) => stage.hostId === hostId && stage.attempt === attempt);
      const host = known === undefined ? undefined : this.hosts[known.stage];
      if (known !== undefined && (host?.deaf || host?.stuck)) void this.kill(known.stage);
    }
  }

  private replace({ host, run }: DriverReports["outvoted"]): void {
    const known = this.stages.find(({ hostId, attempt }) => hostId === host.hostId && attempt === host.attempt);
    if (known === undefined) return;
    this.outvoted.push({ row: known.stage, run });
    void this.kill(known.stage);
  }

  tell(event: SessionEvent): void {
    this.bridge?.driver.poolEvents().session({ sessionId: SESSION_ID, event }, []);
  }

  async turns(max: number): Promise<void> {
    for (let left = this.random.below(max + 1); left > 0; left--) await new Promise(setImmediate);
  }

  close(): void {
    for (const host of [...this.hosts, ...this.buried]) host.close();
    this.bridge?.port.close();
    if (this.bridge) this.bridge.alive = false;
    this.session.fail(new HoldfastError("SESSION_RELEASED", "the test is over"));
  }

  private newHost(row: number): FakeHost {
    const { specs } = this;
    const stage = row % specs.length;
    return new FakeHost({
      random: this.random,
      spec: specs[stage] as (typeof specs)[number],
      ...(this.options.model && { execute: this.options.model.execute }),
      row,
      replicas: this.replicas,
      liesAlways: () => this.liesAlways === row,
      stages: specs.length,
      last: stage === specs.length - 1,
      stateful: this.options.stateful !== false,
      multistage: specs.length > 1,
      durable: LEVELS[this.options.level ?? "medium"].keepsState && (this.replicas !== 2 || row < specs.length),
      checkpoints: this.checkpoints,
      duplicates: this.options.duplicates ?? 0,
      lostRestores: this.options.lostRestores ?? 0,
      writeFails: () => this.writesFail(stage) || this.random.chance(this.options.failedWrites ?? 0),
    });
  }

  private newSession(peer: DriverPeer): Session {
    return new Session(
      peer,
      this.info.options,
      null,
      (event) => this.events.push(event),
      () => undefined,
    );
  }

  private newBridge(): DriverPeer {
    const { port1, port2 } = new MessageChannel();
    const bridge = { alive: true, port: port1 } as NonNullable<World["bridge"]>;
    const wirer = new ChannelWirer(
      {
        toHost: (_, { stage }, ports) => {
          if (bridge.alive && !this.losingPorts) this.hosts[stage]?.wire(ports);
        },
        toPage: (sessionId, feedsFrom, source, sink) =>
          bridge.alive && bridge.driver.givePage(sessionId, feedsFrom, source, sink),
      },
      this.options.limits,
    );
    bridge.driver = new Driver(
      {
        bridgeId: "bridge",
        origin: "https://site.example",
        framedBy: null,
        callPool: (method, params) => this.answerPool(method, params, bridge),
        reportToPool: (name, payload) => {
          this.reports.push(name);
          if (name === "still") this.stills.push((payload as DriverReports["still"]).is);
          if (name === "unreachable") this.lookAfter(payload as DriverReports["unreachable"]);
          if (name === "outvoted") this.replace(payload as DriverReports["outvoted"]);
        },
        wirer,
        carryIngest: () => undefined,
        now: () => performance.now(),
        wallNow: () => Date.now(),
      },
      port2,
      PLATFORM,
      this.options.idleMs,
    );
    bridge.peer = this.pagePeer(port1);
    this.bridge = bridge;
    return bridge.peer;
  }

  private pagePeer(port: MessagePort): DriverPeer {
    const session = (): Session => this.session;
    const peer: DriverPeer = new RpcPeer<ClientCalls, ClientEvents, Record<never, never>, DriverEvents>(
      (message, transfer = []) => port.postMessage(message, transfer),
      {},
      {
        arrived: () => undefined,
        progress: () => undefined,
        session: ({ event }) => session().event(event),
        ports: ({ feedsFrom }, [source, sink]) => {
          if (source !== undefined && sink !== undefined) session().wire(source, sink, feedsFrom);
        },
        safe: ({ run }) => session().safe(run),
        stored: ({ run }) => session().stored(run),
        durable: ({ run }) => session().durable(run),
        unwired: () => session().unwired(),
        hold: () => session().hold(),
        runFailed: ({ run, error }) => session().runFailed(run, HoldfastError.from(error)),
        sessionFailed: ({ error }) => session().fail(HoldfastError.from(error)),
        prompt: ({ base, promptIds }) => session().prompt(base, promptIds),
        token: ({ base, index, id, text }) => session().token(base, { index, id, text }),
      },
    );
    servePort(port, peer);
    return peer;
  }

  private async answerPool<M extends keyof PoolCalls>(
    method: M,
    params: PoolCalls[M]["params"],
    bridge: { alive: boolean },
  ): Promise<PoolCalls[M]["result"]> {
    if (!bridge.alive) await new Promise(() => undefined);
    // Written when it is asked for; the answer takes its time.
    if (method === "journal") this.entries.push((params as PoolCalls["journal"]["params"]).entry);
    if (method === "durable") this.durableRun = (params as PoolCalls["durable"]["params"]).run;
    if (method === "parkSession") this.parkHosts();
    if (method === "attachSession") this.unparkHosts();
    const answer =
      method === "resumeSession"
        ? { ...this.snapshot(), durableRun: this.durableRun, generation: this.generation() }
        : method === "openSession" || method === "attachSession"
          ? this.snapshot()
          : null;
    await this.turns(5);
    if (!bridge.alive) await new Promise(() => undefined);
    return answer as PoolCalls[M]["result"];
  }

  private parkHosts(): void {
    this.parks++;
    this.buried.push(...this.hosts);
    for (const host of this.hosts) host.kill();
    this.isParked = true;
  }

  private unparkHosts(): void {
    if (!this.isParked) return;
    this.isParked = false;
    for (const stage of this.hosts.keys()) {
      this.hosts[stage] = this.newHost(stage);
      this.stages[stage] = this.stageInfo(stage, (this.stages[stage]?.attempt ?? 0) + 1);
    }
  }

  /** The last generation, as the pool's reducer keeps it. */
  private generation(): KnownGeneration | null {
    const begins = this.entries.findLastIndex(({ promptIds }) => promptIds !== null);
    const head = this.entries.at(-1)?.generation;
    if (begins < 0 || head === undefined) return null;
    const ids = this.entries
      .slice(begins)
      .reduce<number[]>((known, entry) => [...known.slice(0, entry.base), ...entry.ids], []);
    return { head, promptIds: this.entries[begins]?.promptIds ?? [], ids };
  }

  private snapshot(): SessionInfo {
    return { ...this.info, stages: [...this.stages] };
  }

  private stageInfo(row: number, attempt: number): StageInfo {
    const { stages } = this.options;
    return {
      stage: row,
      ...(row < stages ? {} : { replicaOf: row % stages }),
      hostId: `host ${row}.${attempt}`,
      place: "tab",
      phase: "ready",
      attempt,
      provider: "wasm",
      weightBytes: 0,
      nodes: 1,
    };
  }
}
