import { connect, HoldfastError, type Pool } from "../page/index.ts";
import { byId } from "./dom.ts";

/**
 * Connects, or shows how to get Holdfast when it is not there. Other errors are the caller's. Called on a click only: the
 * first connection asks the user, and a page that asks before it was touched deserves a no.
 */
export async function connectOrExplain(): Promise<Pool | null> {
  const panel = byId("absent", HTMLElement);
  try {
    const pool = await connect();
    panel.hidden = true;
    return pool;
  } catch (error) {
    if (!(error instanceof HoldfastError && error.code === "EXTENSION_ABSENT")) throw error;
    panel.hidden = false;
    panel.scrollIntoView({ block: "nearest" });
    panel.focus();
    byId("try-again", HTMLButtonElement).addEventListener("click", () => location.reload(), { once: true });
    return null;
  }
}

/** An error in words for whoever looks at the page. */
export function explain(error: unknown): string {
  if (error instanceof HoldfastError && error.code === "PERMISSION_DENIED") {
    return "This page was not allowed to use Holdfast. Allow it when Holdfast asks, or in Holdfast’s popup, and start again.";
  }
  return error instanceof Error ? error.message : String(error);
}
