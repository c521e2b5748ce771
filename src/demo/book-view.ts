import { el } from "./dom.ts";
import type { FaultMark } from "./view-state.ts";

/** The page of the book: the prompt, then what the model writes, with a mark where a fault fell. */
export class BookView {
  readonly #page: HTMLElement;
  readonly #folio: HTMLElement;
  readonly #gauge: HTMLElement;
  #asked = 0;

  constructor(page: HTMLElement, folio: HTMLElement, gauge: HTMLElement) {
    this.#page = page;
    this.#folio = folio;
    this.#gauge = gauge;
  }

  open(prompt: string, asked: number): void {
    this.#asked = asked;
    this.#page.replaceChildren(el("span", { class: "prompt" }, prompt), el("span", { class: "written" }));
    this.#gauge.replaceChildren(el("span", { class: "filled" }), ...divisions(asked));
    this.#gauge.setAttribute("aria-valuemax", String(asked));
    this.setWriting(true);
    this.count(0);
  }

  setWriting(writing: boolean): void {
    this.#page.classList.toggle("writing", writing);
    this.#page.setAttribute("aria-busy", String(writing));
  }

  write(text: string): void {
    this.#page.querySelector(".written")?.append(text);
  }

  count(tokens: number): void {
    this.#folio.textContent = this.#asked === 0 ? "" : `${tokens} of ${this.#asked}`;
    this.#gauge.setAttribute("aria-valuenow", String(tokens));
    const filled = this.#gauge.querySelector<HTMLElement>(".filled");
    if (filled) filled.style.width = `${(100 * tokens) / Math.max(1, this.#asked)}%`;
  }

  /** The page was given no signal to do so and lost nothing: the mark only shows where it happened. */
  mark(fault: FaultMark): void {
    const label = `Fault ${fault.number}: ${fault.signal}, stage ${fault.stage + 1}, after token ${fault.afterTokens}`;
    this.#page
      .querySelector(".written")
      ?.append(el("sup", { class: "mark", title: label, "aria-label": label, role: "img" }, String(fault.number)));
    const mark = el("span", { class: "gauge-mark", "aria-hidden": "true" }, String(fault.number));
    mark.style.left = `${(100 * fault.afterTokens) / Math.max(1, this.#asked)}%`;
    this.#gauge.append(mark);
  }
}

/** Numerals under the gauge at each quarter, as on the scale of a chart. */
function divisions(asked: number): HTMLElement[] {
  return [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const numeral = el("span", { class: "numeral", "aria-hidden": "true" }, String(Math.round(asked * share)));
    numeral.style.left = `${share * 100}%`;
    return numeral;
  });
}
