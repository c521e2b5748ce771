import type { ErrorData } from "../base/errors.ts";
import { HoldfastError } from "../base/errors.ts";
import { RpcPeer, servePort } from "../base/rpc.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { StageInfo } from "../protocol/events.ts";
import type {
  RestoreFrom,
  RunHead,
  StageCalls,
  StageEvents,
  StageMessage,
  StageReports,
  StageStatus,
} from "../protocol/stage.ts";

/** Ports that have not arrived by then were lost with a service worker, milliseconds. */
const ARRIVAL_MS = 1_500;

/** The driver's end of one stage. */
export interface StageLink {
  sync(epoch: number): Promise<StageStatus>;
  restore(run: number, from: RestoreFrom): Promise<StageStatus>;
  head(head: RunHead, feeds: WireTensors | null, error: ErrorData | null): void;
  resend(from: number): void;
  close(): void;
}

export interface WiringEvents {
  output(message: StageMessage): void;
  stored(stage: number, run: number): void;
  storeFailed(error: ErrorData): void;
}

export interface Wiring {
  readonly links: readonly StageLink[];
  /** False: some stage never got its ports. */
  readonly arrived: Promise<boolean>;
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
  constructor(private readonly carrier: PortCarrier) {}

  wire(sessionId: string, stages: readonly StageInfo[], events: WiringEvents): Wiring {
    const source = new MessageChannel();
    const sink = new MessageChannel();
    const between = stages.slice(1).map(() => new MessageChannel());
    const arrivals: Promise<void>[] = [];
    const links = stages.map((stage, index) => {
      const driver = new MessageChannel();
      const input = index === 0 ? source.port2 : (between[index - 1] as MessageChannel).port2;
      const output = index === stages.length - 1 ? sink.port1 : (between[index] as MessageChannel).port1;
      let wired = (): void => undefined;
      arrivals.push(
        new Promise((resolve) => {
          wired = resolve;
        }),
      );
      const link = new PortLink(driver.port1, { ...events, stored: (run) => events.stored(index, run), wired });
      this.carrier.toHost(sessionId, stage, [driver.port2, input, output]);
      return link;
    });
    const late = new Promise<false>((resolve) => setTimeout(resolve, ARRIVAL_MS, false));
    return {
      links,
      arrived: Promise.race([Promise.all(arrivals).then(() => true), late]),
      givePorts: (feedsFrom) => this.carrier.toPage(sessionId, feedsFrom, source.port1, sink.port2),
    };
  }
}

class PortLink implements StageLink {
  private readonly peer: RpcPeer<StageCalls, StageEvents, Record<never, never>, StageReports>;

  constructor(
    private readonly port: MessagePort,
    events: Omit<WiringEvents, "stored"> & { stored(run: number): void; wired(): void },
  ) {
    this.peer = new RpcPeer<StageCalls, StageEvents, Record<never, never>, StageReports>(
      (message) => port.postMessage(message),
      {},
      {
        wired: () => events.wired(),
        output: (message) => events.output(message),
        stored: ({ run }) => events.stored(run),
        storeFailed: ({ error }) => events.storeFailed(error),
      },
    );
    servePort(port, this.peer);
  }

  sync(epoch: number): Promise<StageStatus> {
    return this.peer.call("sync", { epoch });
  }
  restore(run: number, from: RestoreFrom): Promise<StageStatus> {
    return this.peer.call("restore", { run, from });
  }
  head(head: RunHead, feeds: WireTensors | null, error: ErrorData | null): void {
    this.peer.emit("head", { head, feeds, error });
  }
  resend(from: number): void {
    this.peer.emit("resend", { from });
  }
  close(): void {
    this.port.close();
    this.peer.close(new HoldfastError("HOST_LOST", "the stage was wired anew"));
  }
}
