import type { PoolStatus } from "../src/protocol/popup.ts";
import { byId, el } from "./dom.ts";
import { ask } from "./extension.ts";
import { showModels } from "./models.ts";
import {
  type Actions,
  faultRows,
  hostRows,
  refusalRows,
  repairRows,
  sessionRows,
  siteRows,
  summary,
} from "./sections.ts";

const REFRESH_MS = 1_000;
const URL_KEPT_MS = 60_000;

const state = byId("summary", HTMLParagraphElement);
const actions: Actions = {
  withdraw: (origin) => void act(ask("withdraw", { origin })),
  closeSession: (sessionId) => void act(ask("closeSession", { sessionId })),
};

let drawn = "";

async function refresh(): Promise<void> {
  try {
    draw(await ask("status", null));
  } catch (error) {
    state.textContent = `Holdfast does not answer (${error instanceof Error ? error.message : error}). It is asked again each second.`;
    drawn = "";
  }
}

async function act(answer: Promise<null>): Promise<void> {
  await answer.catch(() => null);
  await refresh();
}

function draw(status: PoolStatus): void {
  const now = Date.now();
  // "4 min ago" ages although the status does not change.
  const wanted = JSON.stringify([status, Math.floor(now / 60_000)]);
  if (wanted === drawn) return;
  drawn = wanted;
  state.textContent = summary(status);
  const focused = document.activeElement?.getAttribute("data-key");
  fill("hosts", hostRows(status));
  fill("sessions", sessionRows(status, actions));
  fill("faults", faultRows(status, now));
  fill("sites", siteRows(status, now, actions));
  fill("refusals", refusalRows(status, now));
  fill("repairs", repairRows(status, now));
  if (focused) document.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

/** A section with nothing in it shows its one sentence instead; the refusals' section is hidden. */
function fill(name: string, rows: readonly HTMLElement[]): void {
  byId(name, HTMLUListElement).replaceChildren(...rows);
  const section = byId(`${name}-section`, HTMLElement);
  section.classList.toggle("empty", rows.length === 0);
}

async function keepFresh(): Promise<void> {
  for (;;) {
    if (document.visibilityState === "visible") await refresh();
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

/** What the pool did, in the seed's form: for the user, and for whoever is to find out what went wrong. */
async function downloadLog(): Promise<void> {
  const url = URL.createObjectURL(new Blob([await ask("exportLog", null)], { type: "application/json" }));
  el("a", { href: url, download: `holdfast-log-${new Date().toISOString().slice(0, 19)}.json` }).click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(url), URL_KEPT_MS);
}

byId("download-log", HTMLButtonElement).addEventListener("click", () => void downloadLog());
void keepFresh();
showModels();
