import { type ErrorData, HoldfastError, toErrorData } from "./errors.ts";

/** One protocol map types both ends: method → what it takes and gives. */
export type CallMap<T> = { readonly [M in keyof T]: { params: unknown; result: unknown } };

export type RpcMessage =
  | { readonly rpc: "call"; readonly id: number; readonly method: string; readonly params: unknown }
  | { readonly rpc: "result"; readonly id: number; readonly value: unknown }
  | { readonly rpc: "error"; readonly id: number; readonly error: ErrorData }
  | { readonly rpc: "event"; readonly name: string; readonly payload: unknown };

export type RpcPost = (message: RpcMessage, transfer?: Transferable[]) => void;

export type CallHandlers<Calls extends CallMap<Calls>> = {
  readonly [M in keyof Calls]: (
    params: Calls[M]["params"],
    ports: readonly MessagePort[],
  ) => Calls[M]["result"] | Promise<Calls[M]["result"]>;
};
export type EventHandlers<Events> = {
  readonly [E in keyof Events]: (payload: Events[E], ports: readonly MessagePort[]) => void;
};

/**
 * Calls and events over any message transport. Transport-free: `post` sends, `receive` takes what arrived.
 * Foreign messages are ignored, never thrown on.
 */
export class RpcPeer<Out extends CallMap<Out>, Sent, In extends CallMap<In>, Received> {
  private readonly pending = new Map<number, { resolve(value: unknown): void; reject(error: HoldfastError): void }>();
  private nextId = 1;
  private closed: HoldfastError | null = null;

  constructor(
    private readonly post: RpcPost,
    private readonly calls: CallHandlers<In>,
    private readonly events: EventHandlers<Received>,
  ) {}

  call<M extends keyof Out & string>(
    method: M,
    params: Out[M]["params"],
    transfer?: Transferable[],
  ): Promise<Out[M]["result"]> {
    if (this.closed !== null) return Promise.reject(this.closed);
    const id = this.nextId++;
    return new Promise<unknown>((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      try {
        this.post({ rpc: "call", id, method, params }, transfer);
      } catch (error) {
        this.pending.delete(id);
        reject(HoldfastError.from(toErrorData(error)));
      }
    }) as Promise<Out[M]["result"]>;
  }

  emit<E extends keyof Sent & string>(name: E, payload: Sent[E], transfer?: Transferable[]): void {
    this.post({ rpc: "event", name, payload }, transfer);
  }

  receive(message: unknown, ports: readonly MessagePort[] = []): void {
    if (!isRpcMessage(message)) return;
    switch (message.rpc) {
      case "call":
        void this.answer(message.id, message.method, message.params, ports);
        return;
      case "result":
        this.pending.get(message.id)?.resolve(message.value);
        this.pending.delete(message.id);
        return;
      case "error":
        this.pending.get(message.id)?.reject(HoldfastError.from(message.error));
        this.pending.delete(message.id);
        return;
      case "event":
        if (Object.hasOwn(this.events, message.name)) {
          this.events[message.name as keyof Received](message.payload as Received[keyof Received], ports);
        }
    }
  }

  /** The other end is gone for good: calls that are made from now on end as well, instead of waiting for ever. */
  close(error: HoldfastError): void {
    this.closed = error;
    this.fail(error);
  }

  /** `close` was called: errors of calls are this end's own, not the other end's answers. */
  get isClosed(): boolean {
    return this.closed !== null;
  }

  /** The other end forgot what it was asked: every open call ends with this error. */
  fail(error: HoldfastError): void {
    const open = [...this.pending.values()];
    this.pending.clear();
    for (const { reject } of open) reject(error);
  }

  private async answer(id: number, method: string, params: unknown, ports: readonly MessagePort[]): Promise<void> {
    try {
      if (!Object.hasOwn(this.calls, method)) throw new HoldfastError("INTERNAL", `no method named ${method}`);
      const value = await this.calls[method as keyof In](params as In[keyof In]["params"], ports);
      this.post({ rpc: "result", id, value: value ?? null });
    } catch (error) {
      this.answerError(id, toErrorData(error));
    }
  }

  private answerError(id: number, error: ErrorData): void {
    try {
      this.post({ rpc: "error", id, error });
    } catch {
      // Who asked is gone; nobody waits for the answer.
    }
  }
}

function isRpcMessage(message: unknown): message is RpcMessage {
  if (typeof message !== "object" || message === null) return false;
  const { rpc, id, method, name, error } = message as Record<string, unknown>;
  if (rpc === "event") return typeof name === "string";
  if (typeof id !== "number") return false;
  if (rpc === "call") return typeof method === "string";
  if (rpc === "error") return typeof error === "object" && error !== null;
  return rpc === "result";
}

/** Serves a MessagePort with a peer made around it. */
export function servePort(
  port: MessagePort,
  peer: { receive(message: unknown, ports: readonly MessagePort[]): void },
): void {
  port.onmessage = (event) => peer.receive(event.data, event.ports);
  port.start();
}
