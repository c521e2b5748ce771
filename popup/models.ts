import type { StoredModel, StoreStatus } from "../src/protocol/popup.ts";
import { byId, el } from "./dom.ts";
import { ask } from "./extension.ts";
import { ago, bytes, counted, modelName } from "./words.ts";

const GIB = 1024 ** 3;
/** The section changes less often than the rest, and reading it looks at every lock. */
const REFRESH_MS = 5_000;

const field = byId("quota", HTMLInputElement);
const note = byId("models-note", HTMLParagraphElement);
const list = byId("models", HTMLUListElement);
let drawn = "";

/** The section "Stored models": what is there, how much it may become, and what the user deletes. */
export function showModels(): void {
  byId("quota-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    const quota = field.valueAsNumber;
    if (Number.isFinite(quota)) void act(ask("setStoreQuota", { bytes: quota * GIB }));
  });
  void keepFresh();
}

async function keepFresh(): Promise<void> {
  for (;;) {
    if (document.visibilityState === "visible") await refresh();
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

async function refresh(): Promise<void> {
  const status = await ask("store", null).catch(() => null);
  if (status !== null) draw(status);
}

async function act(answer: Promise<null>): Promise<void> {
  await answer.catch(() => null);
  await refresh();
}

function draw(status: StoreStatus): void {
  const now = Date.now();
  const wanted = JSON.stringify([status, Math.floor(now / 60_000)]);
  if (wanted === drawn) return;
  drawn = wanted;
  const kept = status.persisted ? "" : " The browser may clear them when the disk is full.";
  note.textContent = `${bytes(status.usedBytes)} of ${bytes(status.quotaBytes)} used.${kept}`;
  // Not under the user's hands.
  if (document.activeElement !== field) field.value = String(Number((status.quotaBytes / GIB).toFixed(3)));
  const focused = document.activeElement?.getAttribute("data-key");
  list.replaceChildren(...status.models.map((model) => modelRow(model, now)));
  byId("models-section", HTMLElement).classList.toggle("empty", status.models.length === 0);
  if (focused?.startsWith("model "))
    document.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function modelRow(model: StoredModel, now: number): HTMLElement {
  const name = modelName(model.name);
  const remove = el(
    "button",
    { type: "button", "data-key": `model ${model.digests.join()}`, "aria-label": `Delete ${name}` },
    "Delete",
  );
  remove.disabled = model.inUse;
  remove.addEventListener("click", () => void act(ask("deleteModel", { digests: model.digests })));
  const used = model.inUse
    ? "in use"
    : model.lastUsedAt === 0
      ? "not used lately"
      : `used ${ago(model.lastUsedAt, now)}`;
  const files = model.digests.length > 1 ? ` · ${counted(model.digests.length, "file")}` : "";
  const from = model.sentBy.length > 0 ? el("span", { class: "origin" }, `sent by ${model.sentBy.join(", ")}`) : "";
  return el(
    "li",
    { class: "row model" },
    el("span", { class: "what", title: model.name }, name),
    remove,
    el("span", { class: "detail" }, `${bytes(model.bytes)}${files} · ${used}`),
    from,
  );
}
