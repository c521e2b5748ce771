import { toErrorData } from "../base/errors.ts";
import { FRAME_UP_DEADLINE_MS } from "../base/limits.ts";
import { RpcPeer } from "../base/rpc.ts";
import { type IngestStores, serveIngest } from "../host/ingest.ts";
import { HostKeeper, type KeeperNeeds } from "../host/keeper.ts";
import type { Hold } from "../protocol/host.ts";
import type { HostToPool, PoolToHost } from "../protocol/pool.ts";
import type { CheckpointStore } from "./checkpoint-store.ts";
import type { FromKeeper, ToKeeper } from "./host-page-protocol.ts";
import type { ModelStore } from "./model-store.ts";
import { probeProviders } from "./provider-probe.ts";
import { runtimeFiles } from "./runtime-files.ts";

/** All keepers of one host page: a tab has one, the offscreen document several. */
export class KeeperRoom {
  private readonly keepers = new Map<string, HostKeeper>();
  private readonly mounting = new Map<string, (port: MessagePort) => void>();
  private readonly ingests = new Map<string, PoolToHost["ingest"]>();
  private readonly ingestPorts = new Map<string, MessagePort>();
  private readonly holds = new Map<string, { hold: Hold; release?: () => void }>();
  private readonly pool: RpcPeer<Record<never, never>, HostToPool, Record<never, never>, PoolToHost>;
  private readonly needs: KeeperNeeds;

  constructor(
    private readonly models: ModelStore,
    checkpoints: CheckpointStore,
    private readonly post: (message: FromKeeper) => void,
    private readonly faultHooks: boolean,
  ) {
    this.pool = new RpcPeer(
      (message) => post({ from: "keeper", pool: message }),
      {},
      {
        boot: (boot) => {
          post({ from: "keeper", title: boot.origin });
          void this.keeper(boot.hostId).boot(boot);
        },
        load: (load) => void this.keepers.get(load.hostId)?.load(load),
        ingest: (ingest) => {
          this.ingests.set(ingest.hostId, ingest);
          this.serveIngest(ingest.hostId);
        },
        close: ({ hostId }) => this.close(hostId),
        ask: (lease) => this.keepers.get(lease.hostId)?.ask(lease),
      },
    );
    this.needs = {
      stores: {
        readPlan: (planId) => models.readPlan(planId),
        readGraph: (planId, shard) => models.readGraph(planId, shard),
        readRange: (digest, offset, length) => models.readRange(digest, offset, length),
        runtimeFiles,
        writeCheckpoint: (key, record, beforePut) => checkpoints.write(key, record, beforePut),
        checkpointRuns: (key) => checkpoints.runs(key),
        checkpointChain: (key, run) => checkpoints.chain(key, run),
        forgetCheckpoints: (key, run) => checkpoints.forgetAfter(key, run),
      },
      mountFrame: (hostId) =>
        new Promise((resolve, reject) => {
          this.mounting.set(hostId, resolve);
          post({ from: "keeper", mount: hostId });
          // Its canary is watched only once it is up; a process that dies before that is noticed here.
          setTimeout(() => reject(new Error("the frame did not come up before its deadline")), FRAME_UP_DEADLINE_MS);
        }),
      probe: probeProviders,
      unmountFrame: (hostId) => post({ from: "keeper", unmount: hostId }),
      report: (name, payload) => this.pool.emit(name, payload),
      now: () => performance.now(),
      held: (hostId, phase) => post({ from: "keeper", held: phase, hostId }),
      holdCheckpoint: (hostId, run) => this.holdCheckpoint(hostId, run),
    };
  }

  receive(message: ToKeeper, ports: readonly MessagePort[]): void {
    if ("pool" in message) this.pool.receive(message.pool);
    else if ("hello" in message) this.sayHello();
    else if ("hold" in message) this.hold(message.hostId, message.hold);
    else if ("frameGone" in message) this.keepers.get(message.frameGone)?.frameGone();
    else if ("frameUp" in message && ports[0] !== undefined) {
      this.mounting.get(message.frameUp)?.(ports[0]);
      this.mounting.delete(message.frameUp);
    } else if ("ingest" in message && ports[0] !== undefined) {
      this.ingestPorts.set(message.ingest, ports[0]);
      this.serveIngest(message.ingest);
    }
  }

  tick(now: number): void {
    this.post({ from: "keeper", tick: true });
    for (const keeper of this.keepers.values()) keeper.tick(now);
  }

  private sayHello(): void {
    const hosts = [...this.keepers.values()].map((keeper) => keeper.state);
    this.pool.emit("hello", { place: "tab", hosts });
  }

  private keeper(hostId: string): HostKeeper {
    let keeper = this.keepers.get(hostId);
    if (keeper === undefined) {
      keeper = new HostKeeper(this.needs, hostId);
      this.keepers.set(hostId, keeper);
    }
    return keeper;
  }

  /** A host never comes back under its id, so nothing of it is kept. */
  private close(hostId: string): void {
    this.keepers.get(hostId)?.close();
    this.ingestPorts.get(hostId)?.close();
    for (const map of [this.keepers, this.mounting, this.ingests, this.ingestPorts, this.holds]) map.delete(hostId);
  }

  /** The order to ingest and the port come on two ways; whichever is second starts it. */
  private serveIngest(hostId: string): void {
    const ingest = this.ingests.get(hostId);
    const port = this.ingestPorts.get(hostId);
    if (ingest === undefined || port === undefined) return;
    this.ingests.delete(hostId);
    this.ingestPorts.delete(hostId);
    const { attempt, sessionId, options, planning } = ingest;
    const stores: IngestStores = {
      beginBlob: () => this.models.beginBlob(),
      openBlob: (digest) => this.models.openBlob(digest),
      writePlan: (planId, stored, graphs) => this.models.writePlan(planId, stored, graphs),
    };
    serveIngest(port, options, planning, stores, {
      progress: (phase, loadedBytes, totalBytes) =>
        this.pool.emit("progress", { hostId, attempt, sessionId, phase, loadedBytes, totalBytes }),
      planned: (planId, plan) => this.pool.emit("planned", { hostId, attempt, sessionId, planId, plan }),
      failed: (error) => this.pool.emit("ingestFailed", { hostId, attempt, sessionId, error: toErrorData(error) }),
    });
  }

  private hold(hostId: string, hold: Hold | null): void {
    if (!this.faultHooks) return;
    if (hold === null) this.holds.get(hostId)?.release?.();
    if (hold === null) this.holds.delete(hostId);
    if (hold?.phase === "checkpoint") this.holds.set(hostId, { hold });
    else this.keepers.get(hostId)?.setHold(hold);
  }

  private async holdCheckpoint(hostId: string, run: number): Promise<void> {
    const entry = this.holds.get(hostId);
    if (entry === undefined || run < entry.hold.run || entry.release !== undefined) return;
    this.post({ from: "keeper", held: "checkpoint", hostId });
    await new Promise<void>((resolve) => {
      entry.release = resolve;
    });
  }
}
