import { PLATFORM, type Platform } from "../base/platform.ts";
import type { RpcMessage } from "../base/rpc.ts";

/** The service worker needs a moment between its end and its next start. */
const RECONNECT_MS = 20;

/** What it uses of the extension API and of the clock. */
export interface WorkPortNeeds extends Pick<Platform, "after"> {
  connect(name: string): Pick<chrome.runtime.Port, "postMessage" | "onMessage" | "onDisconnect">;
}
const EXTENSION: WorkPortNeeds = { ...PLATFORM, connect: (name) => chrome.runtime.connect({ name }) };

export interface WorkPortEvents {
  onMessage(message: RpcMessage): void;
  /** After each connect: the service worker may be a new one that knows nothing of us. */
  onConnect?(): void;
  onDisconnect?(): void;
  /** Whether there is work in flight that needs the service worker; without it, it may sleep. */
  reconnect(): boolean;
}

/** A runtime port to the service worker that outlives it: what is posted while it is away goes out when it is back. */
export class WorkPort {
  private port: ReturnType<WorkPortNeeds["connect"]> | null = null;

  constructor(
    private readonly name: string,
    private readonly events: WorkPortEvents,
    private readonly needs: WorkPortNeeds = EXTENSION,
  ) {}

  connect(): void {
    if (this.port !== null) return;
    const port = this.needs.connect(this.name);
    this.port = port;
    port.onMessage.addListener((message: RpcMessage) => this.events.onMessage(message));
    port.onDisconnect.addListener(() => {
      // Reading it keeps the browser from logging an error nobody caused.
      void globalThis.chrome?.runtime?.lastError;
      if (this.port === port) this.port = null;
      this.events.onDisconnect?.();
      if (this.events.reconnect()) this.needs.after(RECONNECT_MS, () => this.connect());
    });
    this.events.onConnect?.();
  }

  /** A new connection, whatever the old one is worth. */
  renew(): void {
    this.port = null;
    this.connect();
  }

  post(message: RpcMessage): void {
    this.connect();
    try {
      this.port?.postMessage(message);
    } catch {
      // It broke and nobody has told us yet.
      this.renew();
      this.port?.postMessage(message);
    }
  }
}
