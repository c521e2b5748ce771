import type { Context } from "./context.ts";
import type { Loop } from "./loop.ts";

interface Message {
  readonly data: unknown;
  readonly ports: readonly SimPort[];
}

/** One end of a channel. In order within it; across channels messages overtake each other. */
export class SimPort {
  /** Null while it is on its way in a message. */
  owner: Context | null;
  peer!: SimPort;
  closed = false;
  private started = false;
  private handler: ((event: { data: unknown; ports: readonly MessagePort[] }) => void) | null = null;
  private readonly inbox: Message[] = [];
  private lastAt = 0;

  constructor(
    private readonly channels: Channels,
    owner: Context,
  ) {
    this.owner = owner;
  }

  set onmessage(handler: typeof this.handler) {
    this.handler = handler;
    this.start();
  }

  start(): void {
    this.started = true;
    this.flush();
  }

  close(): void {
    this.closed = true;
    this.inbox.length = 0;
  }

  postMessage(data: unknown, transfer: readonly unknown[] = []): void {
    const { peer } = this;
    if (this.owner?.alive !== true || this.closed || peer.closed) return;
    const ports = transfer.filter((item) => item instanceof SimPort);
    const message = { data: clone(data), ports };
    for (const port of ports) port.owner = null;
    this.channels.send(peer, message);
  }

  deliver(message: Message): void {
    if (this.closed) return;
    this.inbox.push(message);
    this.flush();
  }

  /** From here on it lives there. */
  arrive(context: Context): void {
    this.owner = context;
    this.flush();
  }

  /** A port of this one's channel is reached in order, so a slow message holds up the next. */
  deliveryTime(at: number): number {
    this.lastAt = Math.max(this.lastAt, at);
    return this.lastAt;
  }

  private flush(): void {
    const { owner } = this;
    if (!this.started || owner === null) return;
    for (const message of this.inbox.splice(0))
      owner.run(() => {
        if (this.closed) return;
        for (const port of message.ports) port.arrive(owner);
        this.handler?.({ data: message.data, ports: message.ports as unknown as MessagePort[] });
      });
  }
}

/** All channels of a world. */
export class Channels {
  private readonly open: SimPort[] = [];

  constructor(
    private readonly loop: Loop,
    private readonly delayMs: () => number,
  ) {}

  of(owner: Context): MessageChannel {
    const [port1, port2] = [new SimPort(this, owner), new SimPort(this, owner)];
    port1.peer = port2;
    port2.peer = port1;
    this.open.push(port1);
    return { port1, port2 } as unknown as MessageChannel;
  }

  send(to: SimPort, message: Message): void {
    const at = to.deliveryTime(this.loop.now + this.delayMs());
    this.loop.after(at - this.loop.now, () => to.deliver(message));
  }

  /** They go out in a message: from here on nobody holds them until it is taken. */
  leave(ports: readonly MessagePort[]): void {
    for (const port of ports as unknown as SimPort[]) port.owner = null;
  }

  /** Hands ports that came in a message to the context that took them. */
  arrive(ports: readonly MessagePort[], context: Context): void {
    for (const port of ports as unknown as SimPort[]) port.arrive(context);
  }

  /** Channels of which both ends are open in a context that lives. */
  get leaked(): readonly SimPort[] {
    const isHeld = (port: SimPort): boolean => !port.closed && port.owner?.alive === true;
    return this.open.filter((port) => isHeld(port) && isHeld(port.peer));
  }
}

/** What a structured clone gives of the plain objects, arrays and typed arrays that are sent here, and much faster. */
export function clone<T>(value: T): T {
  return cloneAny(value) as T;
}

function cloneAny(value: unknown): unknown {
  if (typeof value === "function") throw new Error("a function cannot be cloned");
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(cloneAny);
  if (ArrayBuffer.isView(value)) return (value as Uint8Array).slice();
  if (value instanceof ArrayBuffer) return value.slice(0);
  if (value instanceof SimPort) return undefined;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) copy[key] = cloneAny((value as Record<string, unknown>)[key]);
  return copy;
}
