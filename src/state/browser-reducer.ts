import { assertNever } from "../base/errors.ts";
import { BROWSER_CHECKPOINTS_KEPT } from "../base/limits.ts";
import type {
  BrowserChange,
  BrowserCheckpoint,
  BrowserContent,
  BrowserMove,
  BrowserRecord,
  Browsers,
  BrowserTransaction,
} from "./browser-record.ts";
import type { JsonObject } from "./canonical.ts";

/** Which status a browser has while it does what it is for. */
const WORKING: ReadonlySet<string> = new Set(["initialized", "running", "degraded"]);

export function newBrowser(browserType: string, at: number): BrowserRecord {
  return {
    browserType,
    status: "initialized",
    lastHeartbeat: at,
    models: {},
    operations: {},
    resources: {},
    metrics: {},
    recoveryAttempts: 0,
    checkpoints: [],
  };
}

/** The seed's transactions over browsers alone. `at`: when it happened, epoch milliseconds; undefined: not known. */
export function applyBrowserTransaction(browsers: Browsers, transaction: BrowserTransaction, at?: number): Browsers {
  const { action, data } = transaction;
  if (action === "add_browser") return put(browsers, data.hostId, newBrowser(data.browserType, at ?? 0));
  if (action === "remove_browser") return without(browsers, data.hostId);
  if (action === "migrate_browser_state") return moveContent(browsers, data);
  return applyBrowserChange(browsers, transaction, at);
}

/** A change of one browser; of one that is not known, nothing happens. */
export function applyBrowserChange<B extends BrowserRecord>(
  browsers: Browsers<B>,
  change: BrowserChange,
  at?: number,
): Browsers<B> {
  const { hostId } = change.data;
  const browser = entryOf(browsers, hostId);
  if (browser === undefined) return browsers;
  const heard = at === undefined || !isHeard(change) ? browser : { ...browser, lastHeartbeat: at };
  return put(browsers, hostId, { ...heard, ...changed(hostId, heard, change, at ?? browser.lastHeartbeat) });
}

/** The models and operations of one browser go over to another. */
export function moveContent<B extends BrowserRecord>(
  browsers: Browsers<B>,
  { fromHostId, hostId }: BrowserMove["data"],
): Browsers<B> {
  const [from, to] = [entryOf(browsers, fromHostId), entryOf(browsers, hostId)];
  if (from === undefined || to === undefined || fromHostId === hostId) return browsers;
  return put(put(browsers, fromHostId, { ...from, models: {}, operations: {} }), hostId, {
    ...to,
    models: { ...to.models, ...from.models },
    operations: { ...to.operations, ...from.operations },
  });
}

/** The newest checkpoint from before a failure: what a restart puts back. */
export function workingCheckpoint({ checkpoints }: BrowserRecord): BrowserCheckpoint | null {
  return checkpoints.findLast(({ status }) => WORKING.has(status)) ?? null;
}

export function contentOf({ status, models, operations, resources, metrics }: BrowserContent): BrowserContent {
  return { status, models, operations, resources, metrics };
}

/** An id may be named like a property that every object has. */
export function entryOf<T>(entries: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(entries, key) ? entries[key] : undefined;
}

export function without<T>(entries: Readonly<Record<string, T>>, key: string): Readonly<Record<string, T>> {
  if (!Object.hasOwn(entries, key)) return entries;
  const { [key]: _, ...rest } = entries;
  return rest;
}

function put<T>(entries: Readonly<Record<string, T>>, key: string, entry: T): Readonly<Record<string, T>> {
  return { ...entries, [key]: entry };
}

/** Whether the browser itself gave cause for this: what is decided about it says nothing of its health. */
function isHeard({ action, data }: BrowserChange): boolean {
  if (action === "update_browser_status") return WORKING.has(data.status);
  return action !== "create_browser_checkpoint" && action !== "restore_browser_checkpoint";
}

function changed(
  hostId: string,
  browser: BrowserRecord,
  { action, data }: BrowserChange,
  at: number,
): Partial<BrowserRecord> {
  switch (action) {
    case "update_browser_status":
      return withStatus(hostId, browser, data.status, at);
    case "add_model_to_browser":
      return { models: put(browser.models, data.modelId, data.modelState) };
    case "remove_model_from_browser":
      return { models: without(browser.models, data.modelId) };
    case "add_operation_to_browser":
      return { operations: put(browser.operations, data.operationId, { status: "running", ...data.operation }) };
    case "complete_browser_operation":
      return { operations: without(browser.operations, data.operationId) };
    case "add_resource_to_browser":
      return { resources: put(browser.resources, data.resourceId, data.resource) };
    case "remove_resource_from_browser":
      return { resources: without(browser.resources, data.resourceId) };
    case "update_browser_resources":
      return { resources: Object.entries(data.resources).reduce(withResource, browser.resources) };
    case "update_browser_metrics":
      return { metrics: { ...browser.metrics, ...data.metrics } };
    case "heartbeat":
      return {};
    case "create_browser_checkpoint":
      return withCheckpoint(hostId, browser, at);
    case "restore_browser_checkpoint":
      return { ...contentOf(data.checkpoint), recoveryAttempts: attemptsAfter(browser) };
    default:
      return assertNever(action);
  }
}

/** What the browser had when it failed is kept first: a checkpoint made afterwards would put the failure back. */
function withStatus(
  hostId: string,
  browser: BrowserRecord,
  status: BrowserRecord["status"],
  at: number,
): Partial<BrowserRecord> {
  if (status === "failed" && WORKING.has(browser.status)) return { ...withCheckpoint(hostId, browser, at), status };
  return status === "recovering" ? { status, recoveryAttempts: attemptsAfter(browser) } : { status };
}

/** Only what failed is recovered; a host that starts, or a standby that takes a delta, is not. */
function attemptsAfter({ status, recoveryAttempts }: BrowserRecord): number {
  return recoveryAttempts + (status === "failed" ? 1 : 0);
}

function withCheckpoint(hostId: string, browser: BrowserRecord, timestamp: number): Partial<BrowserRecord> {
  const { browserType } = browser;
  const checkpoint = { timestamp, browserId: hostId, browserType, ...contentOf(browser) };
  return { checkpoints: [...browser.checkpoints, checkpoint].slice(-BROWSER_CHECKPOINTS_KEPT) };
}

function withResource(
  resources: BrowserRecord["resources"],
  [resourceId, resource]: readonly [string, JsonObject | null],
): BrowserRecord["resources"] {
  return resource === null ? without(resources, resourceId) : put(resources, resourceId, resource);
}
