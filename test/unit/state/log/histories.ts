import fc from "fast-check";
import { OPERATION_STATUSES } from "../../../../src/protocol/options.ts";
import { BROWSER_STATUSES, type BrowserTransaction } from "../../../../src/state/browser-record.ts";
import type { JsonObject } from "../../../../src/state/canonical.ts";

// Few ids, so that transactions meet; some are named like properties that every object has.
const ID = fc.constantFrom("browser-1", "browser-2", "constructor", "__proto__", "7");
const JSON_OBJECT = fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), {
  maxKeys: 3,
}) as fc.Arbitrary<JsonObject>;
const STATUS = fc.constantFrom(...BROWSER_STATUSES);

type DataOf<A> = Extract<BrowserTransaction, { action: A }>["data"];

const transaction = <A extends BrowserTransaction["action"]>(
  action: A,
  data: Record<keyof DataOf<A> & string, fc.Arbitrary<unknown>>,
): fc.Arbitrary<BrowserTransaction> =>
  fc.record({
    action: fc.constant(action),
    data: fc.record(data),
  }) as fc.Arbitrary<unknown> as fc.Arbitrary<BrowserTransaction>;

const CHECKPOINT = fc.record({
  timestamp: fc.nat(),
  browserId: ID,
  browserType: fc.constantFrom("chrome", "firefox"),
  status: STATUS,
  models: fc.dictionary(ID, JSON_OBJECT, { maxKeys: 2 }),
  operations: fc.dictionary(ID, JSON_OBJECT, { maxKeys: 2 }),
  resources: fc.dictionary(ID, JSON_OBJECT, { maxKeys: 2 }),
  metrics: JSON_OBJECT,
});

/** Any transaction of the seed's, in any order. */
export const TRANSACTION: fc.Arbitrary<BrowserTransaction> = fc.oneof(
  {
    weight: 3,
    arbitrary: transaction("add_browser", { hostId: ID, browserType: fc.constantFrom("chrome", "firefox") }),
  },
  transaction("remove_browser", { hostId: ID }),
  { weight: 2, arbitrary: transaction("update_browser_status", { hostId: ID, status: STATUS }) },
  { weight: 2, arbitrary: transaction("add_model_to_browser", { hostId: ID, modelId: ID, modelState: JSON_OBJECT }) },
  transaction("remove_model_from_browser", { hostId: ID, modelId: ID }),
  {
    weight: 2,
    arbitrary: transaction("add_operation_to_browser", { hostId: ID, operationId: ID, operation: JSON_OBJECT }),
  },
  transaction("complete_browser_operation", {
    hostId: ID,
    operationId: ID,
    status: fc.constantFrom(...OPERATION_STATUSES),
  }),
  transaction("add_resource_to_browser", { hostId: ID, resourceId: ID, resource: JSON_OBJECT }),
  transaction("remove_resource_from_browser", { hostId: ID, resourceId: ID }),
  transaction("update_browser_resources", {
    hostId: ID,
    resources: fc.dictionary(ID, fc.option(JSON_OBJECT), { maxKeys: 3 }),
  }),
  transaction("update_browser_metrics", { hostId: ID, metrics: JSON_OBJECT }),
  transaction("heartbeat", { hostId: ID }),
  transaction("create_browser_checkpoint", { hostId: ID }),
  transaction("restore_browser_checkpoint", { hostId: ID, checkpoint: CHECKPOINT }),
  transaction("migrate_browser_state", { fromHostId: ID, hostId: ID }),
);

export const HISTORY = fc.array(TRANSACTION, { minLength: 1, maxLength: 60 });

/** A short session as it would be recorded: two browsers, a model, operations, memory, a failure, a failover. */
export const RECORDED: readonly BrowserTransaction[] = [
  { action: "add_browser", data: { hostId: "browser-1", browserType: "chrome" } },
  {
    action: "add_model_to_browser",
    data: { hostId: "browser-1", modelId: "model-1", modelState: { model_type: "bert" } },
  },
  { action: "update_browser_status", data: { hostId: "browser-1", status: "running" } },
  {
    action: "add_operation_to_browser",
    data: { hostId: "browser-1", operationId: "op-1", operation: { type: "generation" } },
  },
  { action: "update_browser_resources", data: { hostId: "browser-1", resources: { tensors: { bytes: 4096 } } } },
  { action: "create_browser_checkpoint", data: { hostId: "browser-1" } },
  { action: "update_browser_metrics", data: { hostId: "browser-1", metrics: { latencyMs: 12.5 } } },
  { action: "add_browser", data: { hostId: "browser-2", browserType: "firefox" } },
  { action: "update_browser_status", data: { hostId: "browser-1", status: "failed" } },
  { action: "migrate_browser_state", data: { fromHostId: "browser-1", hostId: "browser-2" } },
  { action: "complete_browser_operation", data: { hostId: "browser-2", operationId: "op-1", status: "recovered" } },
  { action: "remove_browser", data: { hostId: "browser-1" } },
];
