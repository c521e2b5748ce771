import { HoldfastError } from "../base/errors.ts";
import { BRIDGE_CANARY_IDLE_MS, BRIDGE_CANARY_MS, BRIDGE_DEATHS_MAX, CONNECT_TIMEOUT_MS } from "../base/limits.ts";
import { PLATFORM, type Platform } from "../base/platform.ts";
import { type EventHandlers, RpcPeer, servePort } from "../base/rpc.ts";
import { CLIENT_PROTOCOL, type ClientCalls, type ClientEvents, type DriverEvents } from "../protocol/client.ts";
import { type BridgeFrame, type InsertFrame, insertFrame } from "./bridge-frame.ts";

export type DriverPeer = RpcPeer<ClientCalls, ClientEvents, Record<never, never>, DriverEvents>;

export interface BridgeEvents {
  readonly driver: EventHandlers<DriverEvents>;
  /** The frame's process died; calls under way were rejected. */
  lost(): void;
  /** A new frame answers: sessions are to be taken up. */
  restored(peer: DriverPeer, downMs: number): void;
  failed(error: HoldfastError): void;
  busy(): boolean;
}

/** What the client library needs of its page. */
export interface PageNeeds extends Platform {
  readonly insertFrame: InsertFrame;
}
export const PAGE: PageNeeds = { ...PLATFORM, insertFrame };

/** The extension's frame in this page: inserted, watched by its canary, inserted again when its process dies. */
export class BridgeConnection {
  private frame: BridgeFrame | null = null;
  private peer: DriverPeer | null = null;
  private deaths = 0;
  private closed = false;

  constructor(
    private readonly extensionId: string,
    private readonly events: BridgeEvents,
    private readonly page: PageNeeds,
  ) {}

  /** Resolves once the bridge answered and the origin may use Holdfast. */
  async open(timeoutMs = CONNECT_TIMEOUT_MS): Promise<DriverPeer> {
    const peer = await this.insert(timeoutMs);
    this.peer = peer;
    this.watch();
    await peer.call("hello", null);
    return peer;
  }

  close(): void {
    this.closed = true;
    this.frame?.remove();
    this.peer?.close(
      new HoldfastError("SESSION_RELEASED", "The connection to Holdfast was closed; call connect() again."),
    );
  }

  /** A frame that loads and greets; EXTENSION_ABSENT when none does. */
  private insert(timeoutMs: number): Promise<DriverPeer> {
    this.frame?.remove();
    const { page } = this;
    return new Promise((resolve, reject) => {
      const cancel = page.after(timeoutMs, () => {
        if (!this.closed) frame.remove();
        reject(
          new HoldfastError(
            "EXTENSION_ABSENT",
            "The Holdfast extension did not answer. Install or enable it and reload the page.",
          ),
        );
      });
      const frame = page.insertFrame(this.extensionId, () => {
        const { port1, port2 } = page.channel();
        const peer: DriverPeer = new RpcPeer(
          (message, transfer = []) => port1.postMessage(message, transfer),
          {},
          this.events.driver,
        );
        servePort(port1, peer);
        peer.call("ping", null).then(() => {
          cancel();
          resolve(peer);
        }, reject);
        frame.knock({ holdfast: "connect", protocol: CLIENT_PROTOCOL }, port2);
      });
      this.frame = frame;
    });
  }

  /** The watch rests while a frame is being replaced: the death of the new one before it has answered is seen here. */
  private async greet(peer: DriverPeer): Promise<void> {
    let greeted = false;
    const look = (): void => {
      if (greeted) return;
      if (this.frame?.isDead)
        peer.close(new HoldfastError("EXTENSION_DISCONNECTED", "The extension's frame died again."));
      else this.page.after(BRIDGE_CANARY_MS, look);
    };
    this.page.after(BRIDGE_CANARY_MS, look);
    try {
      await peer.call("hello", null);
    } finally {
      greeted = true;
    }
  }

  private watch(): void {
    if (this.closed) return;
    if (this.frame?.isDead) {
      void this.revive();
      return;
    }
    this.page.after(this.events.busy() ? BRIDGE_CANARY_MS : BRIDGE_CANARY_IDLE_MS, () => this.watch());
  }

  private async revive(): Promise<void> {
    const since = this.page.now();
    this.peer?.close(new HoldfastError("EXTENSION_DISCONNECTED", "The extension's frame died; it is being replaced."));
    this.events.lost();
    while (!this.closed) {
      if (++this.deaths > BRIDGE_DEATHS_MAX) {
        this.events.failed(
          new HoldfastError(
            "EXTENSION_DISCONNECTED",
            "The extension's frame died again and again; reload the page or the extension.",
          ),
        );
        return;
      }
      try {
        const peer = await this.insert(CONNECT_TIMEOUT_MS);
        await this.greet(peer);
        this.peer = peer;
        this.deaths = 0;
        this.watch();
        this.events.restored(peer, this.page.now() - since);
        return;
      } catch {
        // Counted above; the next frame may do better.
      }
    }
  }
}
