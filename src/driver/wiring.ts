import type { ErrorData } from "../base/errors.ts";
import { PORTS_ARRIVAL_MS, STAGE_ANSWER_MS } from "../base/limits.ts";
import { PLATFORM, type Platform } from "../base/platform.ts";
import type { StageInfo } from "../protocol/events.ts";
import type { Pace, StageCalls, StageMessage, StageStatus } from "../protocol/stage.ts";
import type { Doubts } from "./doubts.ts";
import { type LinkEvents, PortLink } from "./port-link.ts";
import type { RunDigests } from "./run-digests.ts";
import type { SpotChecks } from "./spot-check.ts";
import { wireGroups } from "./wire-groups.ts";

/** The driver's end of one stage. Null: no answer came in time, or a newer wiring has closed this one. */
export interface StageLink {
  sync(epoch: number): Promise<StageStatus | null>;
  /** Stores the state after this run, if the stage stands there. */
  store(run: number, toMove?: boolean): Promise<StageStatus | null>;
  /** @throws HoldfastError: the stage could not be put back. */
  restore(params: StageCalls["restore"]["params"]): Promise<StageStatus | null>;
  feed(message: StageMessage): void;
  resend(from: number): void;
  pace(pace: Pace): void;
  /** Has the stage begin nothing and send nothing until it is wired anew. */
  hold(): void;
  close(): void;
}

export interface WiringEvents {
  output(message: StageMessage): void;
  stored(stage: number, run: number): void;
  storeFailed(stage: number, run: number, error: ErrorData): void;
  /** These hosts said something else of this run than the majority, or than the host that did it first. */
  outvoted?(host: StageInfo, run: number): void;
  /** The others of their stage go on without these hosts. */
  unreachable?(host: StageInfo): void;
  /** What is known of the replicas' stored state from earlier wirings. */
  readonly doubts?: Doubts;
  /** What stages answered before: whoever is brought back must answer the same. */
  readonly digests?: RunDigests;
  /** Each stage has one other host, which does a share of its runs as well; absent: they vote. */
  readonly checks?: SpotChecks | undefined;
}

export interface Wiring {
  readonly links: readonly StageLink[];
  /** Stages that never got their ports. */
  readonly missing: Promise<readonly number[]>;
  /** Hands the page its two ports, once it is known which feeds are missing. */
  givePorts(feedsFrom: number): void;
}

export interface Wirer {
  wire(sessionId: string, stages: readonly StageInfo[], events: WiringEvents): Wiring;
}

export interface PortCarrier {
  /** Driver, input and output port of one stage, on their way to its host. */
  toHost(sessionId: string, stage: StageInfo, ports: readonly MessagePort[]): void;
  toPage(sessionId: string, feedsFrom: number, source: MessagePort, sink: MessagePort): void;
}

/**
 * Makes all channels of a session at once: driver ↔ each stage, stage → next stage, page → first, last → page. Always
 * all of them: one path for the first wiring and for every recovery.
 */
export class ChannelWirer implements Wirer {
  constructor(
    private readonly carrier: PortCarrier,
    private readonly limits = { arrivalMs: PORTS_ARRIVAL_MS, answerMs: STAGE_ANSWER_MS },
    private readonly platform: Pick<Platform, "after" | "channel"> = PLATFORM,
  ) {}

  wire(sessionId: string, stages: readonly StageInfo[], events: WiringEvents): Wiring {
    const { platform, carrier, limits } = this;
    if (stages.some(({ replicaOf }) => replicaOf !== undefined))
      return wireGroups(sessionId, stages, events, { carrier, limits, platform });
    const source = platform.channel();
    const sink = platform.channel();
    const between = stages.slice(1).map(() => platform.channel());
    const missing = new Set(stages.keys());
    let allArrived = (): void => undefined;
    const links = stages.map((stage, index) => {
      const driver = platform.channel();
      const input = index === 0 ? source.port2 : (between[index - 1] as MessageChannel).port2;
      const output = index === stages.length - 1 ? sink.port1 : (between[index] as MessageChannel).port1;
      const wired = (): void => {
        missing.delete(index);
        if (missing.size === 0) allArrived();
      };
      const told: LinkEvents = {
        output: (message) => {
          if ("error" in message) events.digests?.failed(message.head.run);
          events.output(message);
        },
        ran: (run, digest) => {
          if (events.digests?.agrees(index, run, digest) === false) events.outvoted?.(stage, run);
        },
        stored: (run) => events.stored(index, run),
        storeFailed: (run, error) => events.storeFailed(index, run, error),
        wired,
      };
      const link = new PortLink(driver.port1, this.limits.answerMs, platform, told);
      this.carrier.toHost(sessionId, stage, [driver.port2, input, output]);
      return link;
    });
    return {
      links,
      missing: new Promise((resolve) => {
        const cancel = platform.after(this.limits.arrivalMs, () => resolve([...missing]));
        allArrived = () => {
          cancel();
          resolve([]);
        };
      }),
      givePorts: (feedsFrom) => this.carrier.toPage(sessionId, feedsFrom, source.port1, sink.port2),
    };
  }
}
