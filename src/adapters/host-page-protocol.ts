import type { RpcMessage } from "../base/rpc.ts";
import type { Hold, HoldPhase } from "../protocol/host.ts";

/** Host page's main thread → its keeper worker. */
export type ToKeeper =
  | { readonly to: "keeper"; readonly pool: RpcMessage }
  | { readonly to: "keeper"; readonly frameUp: string }
  | { readonly to: "keeper"; readonly frameGone: string }
  | { readonly to: "keeper"; readonly ingest: string }
  | { readonly to: "keeper"; readonly hello: true }
  | { readonly to: "keeper"; readonly hold: Hold | null; readonly hostId: string };

/** Keeper worker → main thread, which alone has the extension API and the DOM. */
export type FromKeeper =
  | { readonly from: "keeper"; readonly tick: true }
  | { readonly from: "keeper"; readonly mount: string }
  | { readonly from: "keeper"; readonly unmount: string }
  | { readonly from: "keeper"; readonly title: string }
  | { readonly from: "keeper"; readonly held: HoldPhase; readonly hostId: string }
  | { readonly from: "keeper"; readonly pool: RpcMessage };
