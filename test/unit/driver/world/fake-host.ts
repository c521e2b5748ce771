import { HoldfastError, toErrorData } from "../../../../src/base/errors.ts";
import { forPosting } from "../../../../src/base/post.ts";
import { RpcPeer, servePort } from "../../../../src/base/rpc.ts";
import type { WireTensor, WireTensors } from "../../../../src/base/tensor.ts";
import { AgreedRecords } from "../../../../src/host/agreed-records.ts";
import { answerDigest } from "../../../../src/host/rows-digest.ts";
import { Stage } from "../../../../src/host/stage.ts";
import type { CheckpointRecord } from "../../../../src/protocol/host.ts";
import type {
  FeedMessage,
  StageCalls,
  StageEvents,
  StageMessage,
  StageReports,
  StageStatus,
} from "../../../../src/protocol/stage.ts";
import type { ShardSpec } from "../../../../src/shard/types.ts";
import type { Random } from "../../random.ts";
import { type FakeCheckpoints, keyOf } from "./fake-checkpoints.ts";
import { execute } from "./model.ts";

type DriverPort = RpcPeer<Record<never, never>, StageReports, StageCalls, StageEvents>;

export interface HostSetting {
  readonly random: Random;
  readonly spec: ShardSpec;
  /** Without it, the stand-in of model.ts computes. */
  readonly execute?: (spec: ShardSpec, inputs: WireTensors) => Promise<WireTensors>;
  /** Which of the session's hosts it is. */
  readonly row: number;
  /** So many hosts run the stage, of so many stages. */
  readonly replicas: number;
  readonly stages: number;
  /** It gives a wrong bit each time, never the same. */
  readonly liesAlways: () => boolean;
  readonly last: boolean;
  readonly stateful: boolean;
  readonly multistage: boolean;
  readonly durable: boolean;
  readonly checkpoints: FakeCheckpoints;
  readonly duplicates: number;
  /** Share of restores whose answer never comes, although the host lives on. */
  readonly lostRestores: number;
  /** Whether the next checkpoint cannot be stored. */
  readonly writeFails: () => boolean;
}

/** What a frame is to a stage, without a browser: ports, a computation that takes a while, and a death. */
export class FakeHost {
  dead = false;
  /** Its page is frozen: ports that are handed to it do not arrive. What it has goes on. */
  deaf = false;
  /** Its storage hangs: a restore that was asked for is never answered. */
  stuck = false;
  executed = 0;
  /** It begins nothing since another stage was lost. */
  holds = 0;
  /** The runs that it was put back to. */
  readonly restored: number[] = [];
  /** Its next computation gives one wrong bit: in what goes on, or only in the state that stays. */
  lie: "output" | "rows" | null = null;
  private storing: Promise<unknown> = Promise.resolve();
  /** Runs whose records could not be stored. */
  private readonly failed = new Set<number>();
  private readonly stage: Stage;
  private wiring: { driver: DriverPort; output: MessagePort; ports: readonly MessagePort[] } | null = null;

  constructor(private readonly setting: HostSetting) {
    const { spec, row, replicas, last, durable, checkpoints } = setting;
    this.stage = new Stage(
      {
        execute: async (inputs) => {
          await this.pause(3);
          this.executed++;
          return this.honest(await (setting.execute?.(spec, inputs) ?? execute(spec, last, inputs)));
        },
        send: (message) => this.send(message),
        checkpoint: (record) => {
          // A frame posts its record to the keeper: what happens to the tensors afterwards does not change it.
          const posted = structuredClone(record);
          void this.inOrder(() => this.store(posted));
        },
        records: (run) => this.inOrder(() => this.records(run)),
        forgetAfter: (run) => this.inOrder(async () => checkpoints.forgetAfter(row, run)),
        fatal: () => this.dead,
        runStarted: () => undefined,
        runEnded: () => undefined,
        ...(durable && replicas === 1 ? { ran: (run, tensors) => this.ran(run, tensors) } : {}),
        hold: () => this.pause(1),
      },
      spec,
      {
        durable,
        stored: durable ? checkpoints.runs(row) : [],
        votes: replicas > 1,
        stateful: setting.stateful,
        stopsAtFailure: setting.multistage && setting.stateful,
        last,
      },
    );
  }

  private async records(run: number): Promise<readonly CheckpointRecord[]> {
    const { checkpoints, row, replicas, stages, spec } = this.setting;
    // A checker starts from what the host that it checks has stored.
    if (replicas <= 2) return checkpoints.chain(row % stages, run);
    const agreed = await new AgreedRecords(checkpoints.stores, spec, keyOf(row), { stages, replicas }).read(run);
    if (agreed === null) throw new HoldfastError("STATE_LOST", `no agreed state after run ${run}`);
    return agreed;
  }

  /** Flips one bit where it is to lie. */
  private honest(outputs: WireTensors): WireTensors {
    const { random, spec, liesAlways } = this.setting;
    if (liesAlways()) this.lie = "output";
    const states = spec.state.map(({ output }) => output);
    // Not in what counts or names things, which other stages would choke on.
    const names = Object.keys(outputs).filter(
      (name) => states.includes(name) === (this.lie === "rows") && outputs[name]?.type !== "int64",
    );
    if (this.lie === null || names.length === 0) return outputs;
    this.lie = null;
    const name = random.pick(names);
    const tensor = outputs[name] as WireTensor;
    const data = tensor.data.slice();
    // The last element: of rows, a new one.
    const bytes = new Uint8Array(data.buffer);
    const at = bytes.length - 1 - random.below(data.BYTES_PER_ELEMENT);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    return { ...outputs, [name]: { ...tensor, data } };
  }

  get stateBytes(): number {
    return this.stage.stateBytes;
  }

  /** Its process is gone: nothing is heard of it any more, and nobody is told. */
  kill(): void {
    this.dead = true;
  }

  close(): void {
    this.kill();
    for (const port of this.wiring?.ports ?? []) port.close();
  }

  wire([driverPort, input, output]: readonly MessagePort[]): void {
    if (this.dead || this.deaf || driverPort === undefined || input === undefined || output === undefined) return;
    for (const port of this.wiring?.ports ?? []) port.close();
    const { stage } = this;
    const driver: DriverPort = new RpcPeer<Record<never, never>, StageReports, StageCalls, StageEvents>(
      (message) => driverPort.postMessage(message),
      {
        sync: () => (this.dead ? never() : stage.sync()),
        store: ({ run, toMove }) => (this.dead ? never() : stage.store(run, toMove)),
        restore: (params) => (this.dead ? never() : this.restore(params)),
      },
      {
        feed: (message) => this.twice(() => stage.receive(message)),
        resend: ({ from }) => stage.resend(from),
        hold: () => {
          this.holds++;
          stage.hold();
        },
        pace: (pace) => stage.pace(pace),
      },
    );
    const wiring = { driver, output, ports: [driverPort, input, output] };
    this.wiring = wiring;
    stage.rewired();
    servePort(driverPort, driver);
    driver.emit("wired", null);
    input.onmessage = ({ data }: MessageEvent<StageMessage | FeedMessage>) => {
      this.twice(() => {
        if (wiring !== this.wiring) return;
        stage.receive("feeds" in data ? { head: data.head, tensors: data.feeds } : data);
      });
    };
    input.start();
  }

  private async restore({ run, from, answered, durable }: StageCalls["restore"]["params"]): Promise<StageStatus> {
    const { random, lostRestores } = this.setting;
    this.restored.push(run);
    this.stuck ||= random.chance(lostRestores);
    const status = await this.stage.restore(run, from, answered, durable);
    return this.stuck ? never() : status;
  }

  private ran(run: number, tensors: WireTensors): void {
    const digest = answerDigest(tensors);
    if (!this.dead && digest !== null) this.wiring?.driver.emit("ran", { run, digest });
  }

  private send(message: StageMessage): void {
    if (this.dead) return;
    if (this.setting.last && ("error" in message || message.head.reply === "driver"))
      this.wiring?.driver.emit("output", message);
    else if ("error" in message) this.wiring?.output.postMessage(message);
    else {
      const { tensors, transfer } = forPosting(message.tensors);
      this.wiring?.output.postMessage({ ...message, tensors }, transfer);
    }
  }

  /** Of a host that is dead nothing more is done. */
  private inOrder<T>(step: () => Promise<T>): Promise<T> {
    const done = this.storing.then(() => (this.dead ? never() : step()));
    this.storing = done.catch(() => undefined);
    return done;
  }

  private async store(record: CheckpointRecord): Promise<void> {
    await this.pause(20);
    // As a keeper: what continues a record that is not there is worth nothing.
    const isVain = record.previous !== null && this.failed.has(record.previous);
    if (isVain || this.setting.writeFails()) {
      const error = toErrorData(new HoldfastError("QUOTA_EXCEEDED", "the disk is full"));
      this.failed.add(record.run);
      if (this.stage.storeFailed(record.run)) this.wiring?.driver.emit("storeFailed", { run: record.run, error });
      return;
    }
    await this.setting.checkpoints.write(this.setting.row, record);
    this.failed.delete(record.run);
    await this.pause(4);
    if (this.stage.stored(record.run)) this.wiring?.driver.emit("stored", { run: record.run });
  }

  /** Some turns of the event loop; a dead host never goes on. */
  private async pause(turnsMax: number): Promise<void> {
    for (let left = this.setting.random.below(turnsMax + 1); left > 0; left--) await new Promise(setImmediate);
    if (this.dead) await never();
  }

  private twice(deliver: () => void): void {
    if (this.dead) return;
    deliver();
    if (this.setting.random.chance(this.setting.duplicates)) setImmediate(deliver);
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
