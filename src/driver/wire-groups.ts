import type { ErrorData } from "../base/errors.ts";
import type { Platform } from "../base/platform.ts";
import type { StageInfo } from "../protocol/events.ts";
import type { FeedMessage, StageMessage } from "../protocol/stage.ts";
import { Doubts } from "./doubts.ts";
import { PortLink } from "./port-link.ts";
import { CheckedStage } from "./spot-check.ts";
import { type GroupEvents, type Replica, StageGroup } from "./stage-group.ts";
import type { PortCarrier, Wiring, WiringEvents } from "./wiring.ts";

export interface GroupWiringNeeds {
  readonly carrier: PortCarrier;
  readonly limits: { readonly arrivalMs: number; readonly answerMs: number };
  readonly platform: Pick<Platform, "after" | "channel">;
}

/**
 * The channels of a session whose stages run on several hosts each. All of them come to the driver: page → driver → every
 * replica of the first stage → driver, which counts → every replica of the next … → driver → page. Hosts that are not
 * ready are left out; when they are, all is wired anew.
 */
export function wireGroups(
  sessionId: string,
  hosts: readonly StageInfo[],
  events: WiringEvents,
  { carrier, limits, platform }: GroupWiringNeeds,
): Wiring {
  const stages = hosts.filter(({ replicaOf }) => replicaOf === undefined).length;
  const source = platform.channel();
  const sink = platform.channel();
  const { doubts = new Doubts(), checks } = events;
  const arrived = new Set<number>();
  let arrival = (): void => undefined;

  const reply = (message: StageMessage): void => {
    if ("error" in message || message.head.reply === "driver") events.output(message);
    else sink.port1.postMessage(message);
  };
  const groupOf = (
    stage: number,
    own: readonly StageInfo[],
    replicas: readonly Replica[],
    told: GroupEvents,
    ports: readonly MessagePort[],
  ): StageGroup | CheckedStage => {
    const [first, second = null] = replicas;
    if (checks === undefined || first === undefined)
      return new StageGroup(
        replicas,
        own.map((host) => host.stage),
        doubts,
        told,
        ports,
      );
    return new CheckedStage(stage, first, second, checks, told, platform, ports);
  };
  const groups: (StageGroup | CheckedStage)[] = [];
  for (let stage = 0; stage < stages; stage++) {
    const own = hosts.filter((host) => (host.replicaOf ?? host.stage) === stage);
    const replicas = own
      .filter(({ phase }) => phase === "ready")
      .map((host): Replica => {
        const [driver, input, output] = [platform.channel(), platform.channel(), platform.channel()];
        const link = new PortLink(driver.port1, limits.answerMs, platform, {
          wired: () => {
            arrived.add(host.stage);
            arrival();
          },
          output: (message) => group.replied(replica, message),
          stored: (run) => group.storedAt(replica, run),
          storeFailed: (run, error) => group.storeFailedAt(replica, run, error),
        });
        const replica: Replica = { host, link, input: input.port1, output: output.port1, isOut: false };
        carrier.toHost(sessionId, host, [driver.port2, input.port2, output.port2]);
        return replica;
      });
    const told = {
      decided: (message: StageMessage) => (stage + 1 < stages ? groups[stage + 1]?.take(message) : reply(message)),
      stored: (run: number) => events.stored(stage, run),
      storeFailed: (run: number, error: ErrorData) => events.storeFailed(stage, run, error),
      outvoted: (host: StageInfo, run: number) => events.outvoted?.(host, run),
      unreachable: (host: StageInfo) => events.unreachable?.(host),
    };
    const ports = stage === 0 ? [source.port2, sink.port1] : [];
    const group: StageGroup | CheckedStage = groupOf(stage, own, replicas, told, ports);
    groups.push(group);
  }
  source.port2.onmessage = ({ data }: MessageEvent<FeedMessage>) => {
    // The page may send anything.
    if (typeof data?.head?.run === "number") groups[0]?.take(data);
  };
  source.port2.start();

  const missing = new Promise<readonly number[]>((resolve) => {
    const all = groups.flatMap(({ replicas }) => replicas);
    const cancel = platform.after(limits.arrivalMs, () => {
      for (const replica of all) {
        if (arrived.has(replica.host.stage)) continue;
        replica.isOut = true;
        events.unreachable?.(replica.host);
      }
      resolve(groups.flatMap(({ isThere }, stage) => (isThere ? [] : [stage])));
    });
    arrival = () => {
      if (!all.every(({ host }) => arrived.has(host.stage))) return;
      cancel();
      resolve([]);
    };
  });
  return {
    links: groups,
    missing,
    givePorts: (feedsFrom) => carrier.toPage(sessionId, feedsFrom, source.port1, sink.port2),
  };
}
