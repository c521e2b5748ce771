import { byId } from "./dom.ts";
import { ask } from "./extension.ts";

/** A page must not trick a click meant for it into this window by opening it under the pointer. */
const ARMED_AFTER_MS = 500;

const allow = byId("allow", HTMLButtonElement);
const deny = byId("deny", HTMLButtonElement);
const shown = byId("origin", HTMLParagraphElement);
const note = byId("note", HTMLParagraphElement);

/** The service worker put the origin there as the browser named it; anything else is refused. */
function readOrigin(): string | null {
  const value = new URLSearchParams(location.search).get("origin") ?? "";
  if (!URL.canParse(value)) return null;
  const url = new URL(value);
  return /^https?:$/.test(url.protocol) && url.origin === value ? value : null;
}

function answer(origin: string, allowed: boolean): (event: Event) => void {
  return (event) => {
    if (!event.isTrusted) return;
    disarm();
    ask("consent", { origin, allowed }).then(
      () => window.close(),
      () => {
        note.textContent = "Holdfast did not take the answer. Please close this window and try again on the page.";
      },
    );
  };
}

let arming: ReturnType<typeof setTimeout> | undefined;

/** Each time the window comes into view the buttons wait again. */
function arm(): void {
  disarm();
  arming = setTimeout(() => {
    allow.disabled = deny.disabled = false;
  }, ARMED_AFTER_MS);
}

function disarm(): void {
  clearTimeout(arming);
  allow.disabled = deny.disabled = true;
}

const origin = readOrigin();
if (origin === null) {
  shown.textContent = "unknown";
  note.textContent = "Holdfast could not read which site asks, so nothing can be allowed. Please close this window.";
} else {
  shown.textContent = origin;
  shown.scrollTop = shown.scrollHeight;
  allow.addEventListener("click", answer(origin, true));
  deny.addEventListener("click", answer(origin, false));
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") arm();
  });
  arm();
}
