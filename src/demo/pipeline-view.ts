import { el } from "./dom.ts";
import { drawFlag, FLAGS, type Signal } from "./flags.ts";
import { passMs, Rope } from "./rope.ts";
import type { Box, BoxState } from "./view-state.ts";
import { bytes, shortId } from "./words.ts";

const WORDS: Readonly<Record<BoxState | "computing", string>> = {
  vacant: "No host yet",
  starting: "Starting",
  ready: "Ready",
  computing: "Computing",
  lost: "Lost",
  recovering: "Recovering",
};

export interface PipelineOptions {
  /** What stands at both ends of the line: who feeds it and gets its answers. */
  readonly end: string;
  /** Null: hosts cannot be killed from here, so there are no buttons. */
  readonly kill: ((hostId: string) => void) | null;
}

/** The hosts of one session in a line, with the ropes that carry their tensors. */
export class PipelineView {
  readonly #list: HTMLOListElement;
  readonly #options: PipelineOptions;
  #hosts: HostBox[] = [];
  #ropes: Rope[] = [];
  #passEnds = 0;

  constructor(list: HTMLOListElement, options: PipelineOptions) {
    this.#list = list;
    this.#options = options;
  }

  update(boxes: readonly Box[], computing: boolean): void {
    if (boxes.length !== this.#hosts.length) this.#lay(boxes.length);
    for (const [index, box] of boxes.entries()) {
      this.#hosts[index]?.update(box, computing);
      this.#ropes[index]?.setParted(isOut(box) || isOut(boxes[index - 1]));
    }
  }

  /** A tensor runs down the line and its answer back; a pass still under way is not disturbed. */
  pass(now: number): void {
    if (now < this.#passEnds) return;
    this.#passEnds = now + passMs(this.#ropes.length);
    for (const [order, rope] of this.#ropes.entries()) rope.pass(order);
  }

  #lay(count: number): void {
    this.#hosts = Array.from({ length: count }, () => new HostBox(this.#options.kill));
    this.#ropes = this.#hosts.map(() => new Rope());
    const end = el("li", { class: "end" }, el("span", {}, this.#options.end));
    this.#list.replaceChildren(
      end,
      ...this.#hosts.flatMap((host, index) => [this.#ropes[index]?.element ?? "", host.element]),
    );
  }
}

function isOut(box: Box | undefined): boolean {
  return box?.state === "lost" || box?.state === "recovering";
}

class HostBox {
  readonly element = el("li", { class: "host" });
  readonly #stage = el("span", { class: "stage" });
  readonly #state = el("p", { class: "state" });
  readonly #flag = el("span", { class: "staff" });
  readonly #facts = el("dl", {});
  readonly #button = el("button", { type: "button", class: "kill" }, "Kill");
  #hostId = "";
  #drawn = "";

  constructor(kill: ((hostId: string) => void) | null) {
    this.element.append(el("header", {}, this.#stage, this.#flag), this.#state, this.#facts);
    if (kill) this.element.append(this.#button);
    this.#button.addEventListener("click", () => {
      this.#button.disabled = true;
      kill?.(this.#hostId);
    });
  }

  update(box: Box, computing: boolean): void {
    const state = box.state === "ready" && computing ? "computing" : box.state;
    const wanted = JSON.stringify([state, box.info]);
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    this.#hostId = box.info?.hostId ?? "";
    this.element.dataset["state"] = state;
    this.#stage.textContent = `Stage ${box.stage + 1}`;
    this.#state.textContent = WORDS[state];
    this.#flag.replaceChildren(...(state === "vacant" ? [] : [drawFlag(state)]));
    this.#facts.replaceChildren(...facts(box));
    this.#button.disabled = box.state !== "ready";
    this.#button.setAttribute("aria-label", `Kill the process of stage ${box.stage + 1}`);
  }
}

function facts({ info }: Box): HTMLElement[] {
  return [
    ...fact("host", info ? shortId(info.hostId) : "–"),
    ...fact("runs on", info?.provider ?? "–"),
    ...fact("weights", info && info.weightBytes > 0 ? bytes(info.weightBytes) : "–"),
    ...fact("nodes", info && info.nodes > 0 ? String(info.nodes) : "–"),
  ];
}

function fact(name: string, value: string): [HTMLElement, HTMLElement] {
  return [el("dt", {}, name), el("dd", {}, value)];
}

/** What the flags mean, once, below the line. */
export function legend(): HTMLElement[] {
  const order: readonly Signal[] = ["starting", "ready", "computing", "lost", "recovering"];
  return order.map((signal) => {
    const meaning = el("span", {}, el("b", {}, WORDS[signal]), ` “${FLAGS[signal].meaning}”`);
    const item = el("li", {}, meaning);
    item.prepend(drawFlag(signal));
    return item;
  });
}
