import type { RpcMessage } from "../../../src/base/rpc.ts";
import type { Context } from "./context.ts";

/** The service worker's end of an extension port. */
export interface WorkerPort {
  readonly name: string;
  onMessage(message: unknown): void;
  onDisconnect(): void;
  post(message: RpcMessage): void;
}

/** An extension port between a page and one life of the service worker: in order, as JSON, until either end is gone. */
export class RuntimePort {
  private isOpen = true;
  private readonly listeners: ((message: RpcMessage) => void)[] = [];
  private readonly enders: (() => void)[] = [];
  private readonly lastAt = [0, 0];
  readonly worker: WorkerPort;

  constructor(
    name: string,
    private readonly client: Context,
    private readonly server: Context,
    private readonly delayMs: () => number,
    private readonly awake: () => void,
  ) {
    this.worker = {
      name,
      onMessage: () => undefined,
      onDisconnect: () => undefined,
      post: (message) => this.send(server, client, message, 0, (sent) => this.toClient(sent)),
    };
    server.onEnd(() => this.end(client, 1 + delayMs() * 4, () => this.enders.forEach((ended) => void ended())));
    client.onEnd(() => this.end(server, 5 + delayMs() * 6, () => this.worker.onDisconnect()));
  }

  readonly onMessage = { addListener: (listener: (message: RpcMessage) => void) => void this.listeners.push(listener) };
  readonly onDisconnect = { addListener: (listener: () => void) => void this.enders.push(listener) };

  postMessage(message: unknown): void {
    if (!this.isOpen) throw new Error("Attempting to use a disconnected port object");
    this.send(this.client, this.server, message, 1, (sent) => {
      this.awake();
      this.worker.onMessage(sent);
    });
  }

  private toClient(message: RpcMessage): void {
    for (const listener of this.listeners) listener(message);
  }

  private send(from: Context, to: Context, message: unknown, way: 0 | 1, deliver: (sent: RpcMessage) => void): void {
    if (!this.isOpen || !from.alive) return;
    const sent = JSON.parse(JSON.stringify(message)) as RpcMessage;
    const { loop } = to;
    const at = Math.max(this.lastAt[way] ?? 0, loop.now + this.delayMs());
    this.lastAt[way] = at;
    loop.after(at - loop.now, () => to.run(() => deliver(sent)));
  }

  private end(survivor: Context, afterMs: number, tell: () => void): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    survivor.after(afterMs, tell);
  }
}
