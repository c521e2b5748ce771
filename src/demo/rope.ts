import { svgEl } from "./flags.ts";

const PASS_MS = 520;

/** The rope between two stations. It parts when the host at its end is lost; tensors run along it. */
export class Rope {
  readonly element: HTMLLIElement;
  #bead: HTMLSpanElement;

  constructor() {
    this.element = document.createElement("li");
    this.element.className = "rope";
    this.element.setAttribute("aria-hidden", "true");
    this.#bead = document.createElement("span");
    this.#bead.className = "bead";
    this.element.append(drawRope(), this.#bead);
  }

  setParted(parted: boolean): void {
    this.element.classList.toggle("parted", parted);
  }

  /** One tensor runs along; `order` is this rope's place in the line. Those who want no motion get none. */
  pass(order: number): void {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const upright = this.element.clientHeight > this.element.clientWidth;
    const side = upright ? "top" : "left";
    const steps = [
      { [side]: "0%", opacity: 0 },
      { [side]: "20%", opacity: 1, offset: 0.2 },
      { [side]: "80%", opacity: 1, offset: 0.8 },
      { [side]: "100%", opacity: 0 },
    ];
    this.#bead.animate(steps, { duration: PASS_MS, delay: order * PASS_MS * 0.6, easing: "ease-in-out", fill: "none" });
  }
}

/** How long a tensor takes along `ropes` ropes: a new one starts when the one before has arrived. */
export function passMs(ropes: number): number {
  return PASS_MS * (1 + (ropes - 1) * 0.6);
}

let ropes = 0;

/** Two halves that meet in the middle, laid of three strands; frayed ends show when they are drawn apart. */
function drawRope(): SVGSVGElement {
  const id = `lay-${ropes++}`;
  const svg = svgEl("svg", { class: "rope-drawing" });
  const pattern = svgEl("pattern", { id, width: "9", height: "12", patternUnits: "userSpaceOnUse" });
  pattern.append(
    svgEl("rect", { class: "rope-body", width: "9", height: "12" }),
    svgEl("path", { class: "rope-edge", d: "M0 .5H9M0 11.5H9" }),
    svgEl("path", { class: "rope-lay", d: "M-3 12C1 11 3 1 7 0M6 12C10 11 12 1 16 0M-12 12C-8 11-6 1-2 0" }),
  );
  const defs = svgEl("defs", {});
  defs.append(pattern);
  const half = (name: string): SVGRectElement =>
    svgEl("rect", { class: `half ${name}`, height: "12", fill: `url(#${id})` });
  svg.append(
    defs,
    half("first"),
    half("second"),
    fray("first", "M0 2q9-5 14-6M0 6q10 0 17 2M0 10q7 4 13 8"),
    fray("second", "M0 2q-9-5-14-6M0 6q-10 0-17 2M0 10q-7 4-13 8"),
  );
  return svg;
}

function fray(name: string, d: string): SVGSVGElement {
  const svg = svgEl("svg", { class: `fray ${name}`, overflow: "visible", x: name === "first" ? "34%" : "66%" });
  svg.append(svgEl("path", { d }));
  return svg;
}
