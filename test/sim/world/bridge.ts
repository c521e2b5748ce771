import type { FromDriver } from "../../../src/adapters/bridge-protocol.ts";
import { PageDriver } from "../../../src/adapters/page-driver.ts";
import { WorkPort } from "../../../src/adapters/work-port.ts";
import type { RpcMessage } from "../../../src/base/rpc.ts";
import type { Browser } from "./browser.ts";
import { Context } from "./context.ts";
import { Lane } from "./lane.ts";

/** The extension's frame in a page, with the real driver in it. What bridge.ts does. */
export class BridgePage {
  readonly context: Context;
  readonly bridgeId: string;
  private readonly driver: PageDriver;
  private readonly pool: WorkPort;
  private readonly lane: Lane;
  private readonly toWorker: Lane;

  constructor(
    private readonly browser: Browser,
    private readonly origin: string,
  ) {
    this.bridgeId = browser.newId();
    const { loop, channels } = browser;
    const context = new Context(loop, `bridge ${this.bridgeId}`);
    this.context = context;
    this.lane = new Lane(loop, () => browser.messageMs());
    this.toWorker = new Lane(loop, () => browser.messageMs());
    const platform = context.platform(
      () => channels.of(context),
      () => browser.newId(),
    );
    this.driver = new PageDriver((message, ports = []) => this.fromDriver(message, ports), platform);
    this.pool = new WorkPort(
      `bridge:${this.bridgeId}`,
      {
        onMessage: (message) => this.poolSays(message),
        onDisconnect: () => this.driver.receive({ to: "driver", poolLost: true }, []),
        reconnect: () => false,
      },
      { after: platform.after, connect: (name) => browser.connect(name, context) as never },
    );
    browser.bridges.add(this);
  }

  serve(port: MessagePort): void {
    this.pool.connect();
    const { bridgeId, origin } = this;
    this.driver.receive({ to: "driver", page: { bridgeId, origin, framedBy: null } }, [port]);
  }

  poolSays(message: RpcMessage): void {
    this.driver.receive({ to: "driver", pool: message }, []);
  }

  /** Messages of the service worker come in order. */
  ordered(action: () => void): void {
    this.lane.send(() => this.context.run(action));
  }

  /** Its page goes: the pool is woken to see it. */
  leave(): void {
    if (this.context.alive) this.pool.connect();
    this.context.kill();
  }

  private fromDriver(message: FromDriver, ports: readonly MessagePort[]): void {
    if (!this.context.alive) return;
    if ("pool" in message) this.pool.post(message.pool);
    else {
      this.browser.channels.leave(ports);
      this.toWorker.send(() => this.browser.handOver(message.carry, this.bridgeId, ports));
    }
  }
}
