import type { Knock } from "../protocol/client.ts";

/** The extension's frame in this page. */
export interface BridgeFrame {
  /** Its process died, or somebody took it out of the page. */
  readonly isDead: boolean;
  /** Hands it a port; nobody hears it when there is no bridge in the frame. */
  knock(knock: Knock, port: MessagePort): void;
  remove(): void;
}

/** Puts the frame into the page; `loaded` is called once it has loaded, whatever it shows. */
export type InsertFrame = (extensionId: string, loaded: () => void) => BridgeFrame;

export const insertFrame: InsertFrame = (extensionId, loaded) => {
  const origin = `chrome-extension://${extensionId}`;
  const frame = document.createElement("iframe");
  frame.src = `${origin}/src/bridge.html`;
  frame.title = "Holdfast";
  frame.setAttribute("aria-hidden", "true");
  frame.tabIndex = -1;
  frame.style.cssText = "position:absolute;width:0;height:0;border:0;visibility:hidden";
  frame.addEventListener("load", loaded);
  document.documentElement.append(frame);
  return {
    // The canary frame inside the bridge is readable across origins; no event tells that a frame's process died.
    get isDead() {
      return frame.contentWindow?.length === 0 || !frame.isConnected;
    },
    // Throws in no case: a frame of another origin, or an error page, just does not hear it. A sandboxed page hands its
    // sandbox down: the frame has no origin to be named by, and says that it cannot serve.
    knock: (knock, port) =>
      frame.contentWindow?.postMessage(knock, globalThis.origin === "null" ? "*" : origin, [port]),
    remove: () => frame.remove(),
  };
};
