import { HoldfastError } from "../base/errors.ts";
import { BRIDGE_CANARY_IDLE_MS, BRIDGE_CANARY_MS, BRIDGE_DEATHS_MAX, CONNECT_TIMEOUT_MS } from "../base/limits.ts";
import { type EventHandlers, RpcPeer, servePort } from "../base/rpc.ts";
import {
  CLIENT_PROTOCOL,
  type ClientCalls,
  type ClientEvents,
  type DriverEvents,
  type Knock,
} from "../protocol/client.ts";

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

/** The extension's frame in this page: inserted, watched by its canary, inserted again when its process dies. */
export class BridgeConnection {
  private frame: HTMLIFrameElement | null = null;
  private peer: DriverPeer | null = null;
  private deaths = 0;
  private closed = false;

  constructor(
    private readonly extensionId: string,
    private readonly events: BridgeEvents,
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
    const origin = `chrome-extension://${this.extensionId}`;
    const frame = document.createElement("iframe");
    frame.src = `${origin}/src/bridge.html`;
    frame.title = "Holdfast";
    frame.setAttribute("aria-hidden", "true");
    frame.tabIndex = -1;
    frame.style.cssText = "position:absolute;width:0;height:0;border:0;visibility:hidden";
    this.frame = frame;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        if (!this.closed) frame.remove();
        reject(
          new HoldfastError(
            "EXTENSION_ABSENT",
            "The Holdfast extension did not answer. Install or enable it and reload the page.",
          ),
        );
      }, timeoutMs);
      frame.addEventListener("load", () => {
        const { port1, port2 } = new MessageChannel();
        const peer: DriverPeer = new RpcPeer(
          (message, transfer = []) => port1.postMessage(message, transfer),
          {},
          this.events.driver,
        );
        servePort(port1, peer);
        peer.call("ping", null).then(() => {
          clearTimeout(timer);
          resolve(peer);
        }, reject);
        // Throws in no case: a frame of another origin, or an error page, just does not hear it.
        const knock: Knock = { holdfast: "connect", protocol: CLIENT_PROTOCOL };
        // A sandboxed page hands its sandbox down: the frame has no origin to be named by, and says that it cannot serve.
        frame.contentWindow?.postMessage(knock, globalThis.origin === "null" ? "*" : origin, [port2]);
      });
      document.documentElement.append(frame);
    });
  }

  /** The watch rests while a frame is being replaced: the death of the new one before it has answered is seen here. */
  private async greet(peer: DriverPeer): Promise<void> {
    const timer = setInterval(() => {
      if (this.frameIsDead)
        peer.close(new HoldfastError("EXTENSION_DISCONNECTED", "The extension's frame died again."));
    }, BRIDGE_CANARY_MS);
    try {
      await peer.call("hello", null);
    } finally {
      clearInterval(timer);
    }
  }

  private get frameIsDead(): boolean {
    return this.frame?.contentWindow?.length === 0 || this.frame?.isConnected === false;
  }

  /** The canary frame inside the bridge is readable across origins; no event tells that a frame's process died. */
  private watch(): void {
    if (this.closed) return;
    if (this.frameIsDead) {
      void this.revive();
      return;
    }
    setTimeout(() => this.watch(), this.events.busy() ? BRIDGE_CANARY_MS : BRIDGE_CANARY_IDLE_MS);
  }

  private async revive(): Promise<void> {
    const since = performance.now();
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
        this.events.restored(peer, performance.now() - since);
        return;
      } catch {
        // Counted above; the next frame may do better.
      }
    }
  }
}
