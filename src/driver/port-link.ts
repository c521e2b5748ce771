import { type ErrorData, HoldfastError } from "../base/errors.ts";
import type { Platform } from "../base/platform.ts";
import { RpcPeer, servePort } from "../base/rpc.ts";
import type { Pace, StageCalls, StageEvents, StageMessage, StageReports, StageStatus } from "../protocol/stage.ts";
import type { StageLink, WiringEvents } from "./wiring.ts";

export interface LinkEvents extends Pick<WiringEvents, "output"> {
  stored(run: number): void;
  storeFailed(run: number, error: ErrorData): void;
  ran?(run: number, digest: string): void;
  wired(): void;
}

/** The driver's end of one host's control port. */
export class PortLink implements StageLink {
  private closed = false;
  private readonly peer: RpcPeer<StageCalls, StageEvents, Record<never, never>, StageReports>;

  constructor(
    private readonly port: MessagePort,
    private readonly answerMs: number,
    private readonly platform: Pick<Platform, "after">,
    events: LinkEvents,
  ) {
    this.peer = new RpcPeer<StageCalls, StageEvents, Record<never, never>, StageReports>(
      (message) => port.postMessage(message),
      {},
      {
        wired: () => events.wired(),
        output: (message) => events.output(message),
        ran: ({ run, digest }) => events.ran?.(run, digest),
        stored: ({ run }) => events.stored(run),
        storeFailed: ({ run, error }) => events.storeFailed(run, error),
      },
    );
    servePort(port, this.peer);
  }

  sync(epoch: number): Promise<StageStatus | null> {
    return this.inTime(this.peer.call("sync", { epoch }));
  }
  restore(params: StageCalls["restore"]["params"]): Promise<StageStatus | null> {
    return this.inTime(this.peer.call("restore", params));
  }
  store(run: number, toMove = false): Promise<StageStatus | null> {
    return this.inTime(this.peer.call("store", { run, toMove }));
  }
  feed(message: StageMessage): void {
    this.peer.emit("feed", message);
  }
  resend(from: number): void {
    this.peer.emit("resend", { from });
  }
  pace(pace: Pace): void {
    this.peer.emit("pace", pace);
  }
  hold(): void {
    this.peer.emit("hold", null);
  }
  close(): void {
    this.port.close();
    this.closed = true;
    this.peer.close(new HoldfastError("HOST_LOST", "the stage was wired anew"));
  }

  private async inTime<T>(answer: Promise<T>): Promise<T | null> {
    let cancel = (): void => undefined;
    const late = new Promise<null>((resolve) => {
      cancel = this.platform.after(this.answerMs, () => resolve(null));
    });
    try {
      return await Promise.race([answer, late]);
    } catch (error) {
      if (this.closed) return null;
      throw error;
    } finally {
      cancel();
    }
  }
}
