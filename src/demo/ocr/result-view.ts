import { el } from "../dom.ts";
import { svgEl } from "../flags.ts";
import { milliseconds } from "../words.ts";
import type { TextBox } from "./detect.ts";
import { cornersOf } from "./geometry.ts";
import type { ReadLine } from "./recognise.ts";

/** Boxes over the picture and lines beside it; pointing at one shows the other. */
export class ResultView {
  readonly #overlay: SVGSVGElement;
  readonly #list: HTMLOListElement;

  constructor(overlay: SVGSVGElement, list: HTMLOListElement) {
    this.#overlay = overlay;
    this.#list = list;
  }

  clear(size: { readonly width: number; readonly height: number }): void {
    this.#overlay.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    this.#overlay.replaceChildren();
    this.#list.replaceChildren();
  }

  show(boxes: readonly TextBox[]): void {
    const polygons = boxes.map(({ box }) => {
      const points = cornersOf(box)
        .map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`)
        .join(" ");
      return svgEl("polygon", { points, class: "waiting" });
    });
    const items = boxes.map((_, index) => this.#item(index));
    this.#overlay.replaceChildren(...polygons);
    this.#list.replaceChildren(...items);
    for (const [index, element] of [...polygons, ...items].entries()) {
      element.addEventListener("pointerenter", () => this.#point(index % boxes.length, true));
      element.addEventListener("pointerleave", () => this.#point(index % boxes.length, false));
    }
  }

  read(index: number, line: ReadLine, ms: number): void {
    this.#overlay.children[index]?.classList.remove("waiting");
    const item = this.#list.children[index];
    item?.classList.remove("waiting");
    item?.replaceChildren(
      el("span", { class: "said" }, line.text || "(nothing)"),
      el("span", { class: "sure" }, `${Math.round(line.score * 100)} % sure · ${milliseconds(ms)}`),
    );
  }

  #item(index: number): HTMLElement {
    const item = el("li", { class: "waiting", tabindex: "0" }, el("span", { class: "said" }, "…"));
    item.addEventListener("focus", () => this.#point(index, true));
    item.addEventListener("blur", () => this.#point(index, false));
    return item;
  }

  #point(index: number, on: boolean): void {
    this.#overlay.children[index]?.classList.toggle("pointed", on);
    this.#list.children[index]?.classList.toggle("pointed", on);
  }
}
