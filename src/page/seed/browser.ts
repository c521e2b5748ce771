import { HoldfastError } from "../../base/errors.ts";
import type { OriginBrowser } from "../../protocol/origin.ts";
import type { Inference, InferOptions, Inputs } from "../tasks.ts";
import type { ConnectionPool } from "./connection-pool.ts";

/** What a browser can be asked to do: run a model, or hold it open. */
export interface BrowserCalls {
  inference: {
    readonly args: { readonly modelName: string; readonly inputs: Inputs; readonly options?: InferOptions };
    readonly result: Inference;
  };
  load: { readonly args: { readonly modelName: string }; readonly result: { readonly browserIds: readonly string[] } };
}

/** One host of the site's own, as it was when it was asked for. */
export class Browser {
  constructor(
    private readonly known: OriginBrowser,
    private readonly connections: ConnectionPool,
  ) {}

  get browserId(): string {
    return this.known.browserId;
  }
  get browserType(): string {
    return this.known.browserType;
  }
  get status(): OriginBrowser["status"] {
    return this.known.status;
  }
  get stage(): OriginBrowser["stage"] {
    return this.known.stage;
  }

  /**
   * Its stage moves to another host as planned: between two runs, with its state, while the session goes on. Returns the id of
   * the browser that carries the stage then. Throws BAD_OPTIONS for a host that is gone, RECOVERY_FAILED where it could not be
   * moved and stays, or a fault came first.
   */
  async migrate(): Promise<string> {
    const { moved, hostId } = await this.connections.pool.needs.moveHost(this.browserId);
    if (moved) return hostId;
    throw new HoldfastError(
      "RECOVERY_FAILED",
      "The stage could not be moved now; it stays where it is, or was recovered from a fault. Ask again when the session is live.",
    );
  }

  /**
   * Runs a model of the pool. All of its stages take part, this host's among them when it carries one of the model. Throws as
   * `pool.infer` does, BAD_OPTIONS for other operations.
   */
  async call<O extends keyof BrowserCalls>(
    operation: O,
    args: BrowserCalls[O]["args"],
  ): Promise<BrowserCalls[O]["result"]> {
    const model = await this.connections.getModel(args.modelName);
    switch (operation) {
      case "inference": {
        const { inputs, options } = args as BrowserCalls["inference"]["args"];
        return model.run(inputs, options);
      }
      case "load":
        return { browserIds: model.browserIds } as BrowserCalls["load"]["result"] as BrowserCalls[O]["result"];
      default:
        throw new HoldfastError(
          "BAD_OPTIONS",
          `A browser has no operation ${String(operation)}; use inference or load.`,
        );
    }
  }
}
