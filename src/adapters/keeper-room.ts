import { HoldfastError, toErrorData } from "../base/errors.ts";
import { FRAME_UP_DEADLINE_MS, STORE_ROOM_ASKS_MAX, STORE_ROOM_WAIT_MS } from "../base/limits.ts";
import { RpcPeer } from "../base/rpc.ts";
import { type Ingest, type IngestStores, serveIngest } from "../host/ingest.ts";
import { HostKeeper, type KeeperNeeds } from "../host/keeper.ts";
import type { Hold } from "../protocol/host.ts";
import type { HostCalls, HostToPool, PoolToHost } from "../protocol/pool.ts";
import type { CheckpointStore } from "./checkpoint-store.ts";
import { Downloads } from "./downloads.ts";
import type { FromKeeper, ToKeeper } from "./host-page-protocol.ts";
import type { ModelStore } from "./model-store.ts";
import { probeProviders } from "./provider-probe.ts";
import { runtimeFiles } from "./runtime-files.ts";
import { Leases } from "./store-locks.ts";

/** All keepers of one host page: a tab has one, the offscreen document several. */
export class KeeperRoom {
  private readonly keepers = new Map<string, HostKeeper>();
  private readonly mounting = new Map<string, (port: MessagePort) => void>();
  private readonly ingests = new Map<string, PoolToHost["ingest"]>();
  private readonly ingestPorts = new Map<string, MessagePort>();
  private readonly holds = new Map<string, { hold: Hold; release?: () => void }>();
  /** What a host took in; its files may not be evicted while the host stands. */
  private readonly taken = new Map<string, { ingest: Ingest; leases: Leases }>();
  private readonly downloads: Downloads;
  private readonly pool: RpcPeer<HostCalls, HostToPool, Record<never, never>, PoolToHost>;
  private readonly needs: KeeperNeeds;

  constructor(
    private readonly models: ModelStore,
    checkpoints: CheckpointStore,
    private readonly post: (message: FromKeeper) => void,
    private readonly faultHooks: boolean,
  ) {
    this.downloads = new Downloads(models);
    this.pool = new RpcPeer(
      (message) => post({ from: "keeper", pool: message }),
      {},
      {
        boot: (boot) => {
          post({ from: "keeper", title: boot.origin ?? "spare" });
          void this.keeper(boot.hostId).boot(boot);
        },
        load: (load) => {
          post({ from: "keeper", title: load.origin });
          void this.keepers.get(load.hostId)?.load(load);
        },
        ingest: (ingest) => {
          this.ingests.set(ingest.hostId, ingest);
          this.serveIngest(ingest.hostId);
        },
        close: ({ hostId }) => this.close(hostId),
        probe: (lease) => void this.keepers.get(lease.hostId)?.probe(lease),
        ask: (lease) => this.keepers.get(lease.hostId)?.ask(lease),
      },
    );
    this.needs = {
      stores: {
        readPlan: (planId) => models.readPlan(planId),
        readGraph: (planId, shard) => models.readGraph(planId, shard),
        openBlob: (digest) => models.openBlob(digest),
        runtimeFiles,
        writeCheckpoint: (key, record, beforePut) => checkpoints.write(key, record, beforePut),
        checkpointRuns: (key) => checkpoints.runs(key),
        checkpointChain: (key, run) => checkpoints.chain(key, run),
        checkpointDigests: (key) => checkpoints.digests(key),
        checkpoint: (key, run) => checkpoints.read(key, run),
        followCheckpoints: (key, changed) => checkpoints.follow(key, changed),
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

  /** What comes back under its id is a spare, for anybody: nothing of it is kept. */
  private close(hostId: string): void {
    this.letGo(hostId);
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
    const { attempt, sessionId, origin, options, model, planning } = ingest;
    this.letGo(hostId);
    const leases = new Leases();
    const taken = serveIngest(port, options, planning, this.ingestStores(origin, model, leases), {
      progress: (phase, loadedBytes, totalBytes, bytesPerSecond) =>
        this.pool.emit("progress", { hostId, attempt, sessionId, phase, loadedBytes, totalBytes, bytesPerSecond }),
      planned: (planId, plan) => this.pool.emit("planned", { hostId, attempt, sessionId, planId, plan }),
      failed: (error) => {
        leases.release();
        this.pool.emit("ingestFailed", { hostId, attempt, sessionId, error: toErrorData(error) });
      },
      now: () => performance.now(),
    });
    this.taken.set(hostId, { ingest: taken, leases });
  }

  private ingestStores(origin: string, model: string, leases: Leases): IngestStores {
    const { models } = this;
    const room = (key: string, bytes: number): Promise<void> => this.makeRoom(key, bytes);
    return {
      fetchBlob: ({ url, digest }, signal, onBytes) =>
        this.downloads.fetch({ url, digest, origin }, leases, room, signal, onBytes),
      beginBlob: async (path, size, digest) => {
        const file = await models.beginPush(origin, room);
        try {
          if (size !== null) await file.reserve(size);
        } catch (error) {
          await file.discard();
          throw error;
        }
        const name = path === "" ? model : path;
        return {
          append: (bytes) => file.append(bytes),
          restart: (total) => file.restart({ etag: null, lastModified: null }, total),
          finish: () => models.settle(file, digest, { name, pushedBy: origin }, leases),
          discard: () => file.discard(),
        };
      },
      openBlob: (digest) => models.openBlob(digest),
      writePlan: (planId, stored, graphs) => models.writePlan(planId, stored, graphs, model, leases),
    };
  }

  /** Asked again when the service worker ended with the question: whoever answers last has made the same room. */
  private async makeRoom(key: string, bytes: number): Promise<void> {
    for (let ask = 1; ask <= STORE_ROOM_ASKS_MAX; ask++) {
      const late = Symbol("late");
      const waited = new Promise<typeof late>((resolve) => setTimeout(() => resolve(late), STORE_ROOM_WAIT_MS));
      if ((await Promise.race([this.pool.call("makeRoom", { key, bytes }), waited])) !== late) return;
    }
    throw new HoldfastError("EXTENSION_DISCONNECTED", "The extension did not answer; open the session again.");
  }

  private letGo(hostId: string): void {
    const taken = this.taken.get(hostId);
    this.taken.delete(hostId);
    taken?.ingest.stop();
    taken?.leases.release();
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
