import type { PageNeeds } from "../../../src/page/bridge-connection.ts";
import { Pool } from "../../../src/page/pool.ts";
import { BridgePage } from "./bridge.ts";
import type { Browser } from "./browser.ts";
import { Context } from "./context.ts";

/** A web page with the real client library in it. */
export class WebPage {
  readonly context: Context;
  bridge: BridgePage | null = null;
  private connecting: Promise<Pool> | null = null;
  private left = (): void => undefined;
  /** The user has reloaded it. */
  readonly gone = new Promise<void>((resolve) => {
    this.left = resolve;
  });

  constructor(
    private readonly browser: Browser,
    readonly origin: string,
  ) {
    this.context = new Context(browser.loop, `page of ${origin}`);
  }

  /** One connection, whoever asks; one that failed is made anew. */
  connect(): Promise<Pool> {
    this.connecting ??= Pool.connect("extension", undefined, undefined, this.needs()).catch((error: unknown) => {
      this.connecting = null;
      throw error;
    });
    return this.connecting;
  }

  async close(): Promise<void> {
    if (this.connecting !== null) await (await this.connecting).close();
  }

  /** The user reloads it, or goes elsewhere. */
  leave(): void {
    this.bridge?.leave();
    this.context.kill();
    this.left();
  }

  private needs(): PageNeeds {
    const { browser, context } = this;
    const { channels } = browser;
    const platform = context.platform(
      () => channels.of(context),
      () => browser.newId(),
    );
    return {
      ...platform,
      insertFrame: (_, loaded) => {
        const bridge = new BridgePage(browser, this.origin);
        this.bridge = bridge;
        context.after(50 + browser.random.next() * 40, () => {
          if (bridge.context.alive) loaded();
        });
        return {
          get isDead() {
            return !bridge.context.alive;
          },
          knock: (_knock, port) => {
            channels.leave([port]);
            browser.loop.after(browser.messageMs(), () =>
              bridge.context.run(() => {
                channels.arrive([port], bridge.context);
                bridge.serve(port);
              }),
            );
          },
          remove: () => bridge.leave(),
        };
      },
    };
  }
}
