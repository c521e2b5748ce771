import { loadSha256 } from "../../base/digest.ts";
import { newId } from "../../base/ids.ts";
import type { OriginBrowser } from "../../protocol/origin.ts";
import { BrowserStateManager } from "../../state/browser-state-manager.ts";
import { type JsonObject, jsonCopy } from "../../state/canonical.ts";

/** A state manager with a log of its own, for as long as the page lives. Its digests need WebAssembly. */
export async function createStateManager(): Promise<BrowserStateManager> {
  return new BrowserStateManager({ sha256: await loadSha256(), now: () => Date.now(), newId });
}

/**
 * Brings a page's state manager up to what the pool knows of the site's hosts: new ones are added, what changed is logged, and
 * those in `mirrored` that are gone are removed. Browsers that the page added itself are left alone.
 * @returns the hosts that are mirrored now
 */
export function mirrorBrowsers(
  manager: BrowserStateManager,
  browsers: readonly OriginBrowser[],
  mirrored: ReadonlySet<string>,
): ReadonlySet<string> {
  const now = new Set(browsers.map(({ browserId }) => browserId));
  for (const gone of mirrored) if (!now.has(gone) && manager.getBrowser(gone) !== null) manager.removeBrowser(gone);
  for (const browser of browsers) mirrorOne(manager, browser);
  return now;
}

function mirrorOne(manager: BrowserStateManager, known: OriginBrowser): void {
  const { browserId, browserType, status } = known;
  const state = manager.addBrowser(browserId, browserType);
  if (state.status !== status) state.updateStatus(status);
  mirrorEntries(state.models, known.models, {
    put: (id, value) => state.addModel(id, value),
    remove: (id) => state.removeModel(id),
  });
  mirrorEntries(state.operations, known.operations, {
    put: (id, value) => state.addOperation(id, value),
    remove: (id) => state.completeOperation(id),
  });
  mirrorEntries(state.resources, known.resources, {
    put: (id, value) => state.addResource(id, value),
    remove: (id) => state.removeResource(id),
  });
}

function mirrorEntries(
  ours: Readonly<Record<string, JsonObject>>,
  theirs: Readonly<Record<string, object>>,
  change: { put(id: string, value: JsonObject): void; remove(id: string): void },
): void {
  for (const id of Object.keys(ours)) if (!Object.hasOwn(theirs, id)) change.remove(id);
  for (const [id, value] of Object.entries(theirs))
    if (JSON.stringify(ours[id]) !== JSON.stringify(value)) change.put(id, jsonCopy(value) as JsonObject);
}
