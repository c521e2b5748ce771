import type { RpcMessage } from "../base/rpc.ts";
import type { Handover } from "../protocol/pool.ts";

/** Bridge frame's main thread → its driver worker. */
export type ToDriver =
  | {
      readonly to: "driver";
      readonly page: { readonly bridgeId: string; readonly origin: string; readonly framedBy: string | null };
    }
  | { readonly to: "driver"; readonly pool: RpcMessage }
  | { readonly to: "driver"; readonly poolLost: true };

/** Driver worker → main thread, which alone reaches the service worker. */
export type FromDriver =
  | { readonly from: "driver"; readonly pool: RpcMessage }
  | { readonly from: "driver"; readonly carry: Handover };
