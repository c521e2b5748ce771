import { el } from "./dom.ts";
import type { BoxState, Change, FaultMark, LogEntry, ViewState } from "./view-state.ts";
import { milliseconds, seconds } from "./words.ts";

/** The lanes show at least this much time, so that a short run does not look long. */
const SPAN_MS_MIN = 6_000;
const TICK_STEPS_S = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600] as const;
const TICKS_MAX = 12;

/** Each stage's life on a common scale of time, as a chart's border measures a passage. */
export class LanesView {
  readonly #element: HTMLElement;

  constructor(element: HTMLElement) {
    this.#element = element;
  }

  update(view: ViewState, now: number): void {
    const span = Math.max(SPAN_MS_MIN, now - view.startedAt);
    const shareOf = (at: number): number => Math.min(1, Math.max(0, (at - view.startedAt) / span));
    const lanes = view.boxes.map(({ stage }) => {
      const track = el("div", { class: "track" });
      track.append(
        ...periods(
          view.changes.filter((change) => change.stage === stage),
          now,
          shareOf,
        ),
      );
      track.append(...view.faults.filter((fault) => fault.stage === stage).flatMap((fault) => marks(fault, shareOf)));
      return el("div", { class: "lane" }, el("span", { class: "lane-name" }, `Stage ${stage + 1}`), track);
    });
    this.#element.replaceChildren(...lanes, scale(span, shareOf(now)));
  }
}

function periods(changes: readonly Change[], now: number, shareOf: (at: number) => number): HTMLElement[] {
  return changes.map((change, index) =>
    period(change.state, shareOf(change.at), shareOf(changes[index + 1]?.at ?? now)),
  );
}

function period(state: BoxState, from: number, to: number): HTMLElement {
  const element = el("span", { class: `period ${state}` });
  place(element, from);
  element.style.width = percent(to - from);
  return element;
}

function marks(fault: FaultMark, shareOf: (at: number) => number): HTMLElement[] {
  const mark = el("span", { class: "fault-mark" }, String(fault.number));
  place(mark, shareOf(fault.at));
  if (!fault.recovered) return [mark];
  const time = el("span", { class: "recovered-mark" }, milliseconds(fault.recovered.ms));
  place(time, shareOf(fault.recovered.at));
  // Near the right edge the figure stands left of its moment, or it would be cut off.
  time.classList.toggle("before", shareOf(fault.recovered.at) > 0.8);
  return [mark, time];
}

function scale(spanMs: number, now: number): HTMLElement {
  const step = TICK_STEPS_S.find((candidate) => spanMs / 1000 / candidate <= TICKS_MAX) ?? TICK_STEPS_S.at(-1) ?? 600;
  const track = el("div", { class: "scale" });
  for (let at = 0; at * 1000 < spanMs; at += step) {
    const share = Math.min(1, (spanMs / 1000 - at) / step);
    // A last division that is cut short has no room for its numeral.
    const division = el("span", { class: "division" }, share < 0.6 ? "" : `${at} s`);
    place(division, (at * 1000) / spanMs);
    division.style.width = percent((share * step * 1000) / spanMs);
    track.append(division);
  }
  const hand = el("span", { class: "now" });
  place(hand, now);
  track.append(hand);
  return el("div", { class: "lane", "aria-hidden": "true" }, el("span", { class: "lane-name" }), track);
}

function place(element: HTMLElement, share: number): void {
  element.style.left = percent(share);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(3)}%`;
}

/** The same in words, newest first. Only new entries are added, so that a screen reader says them once. */
export class LogView {
  readonly #list: HTMLOListElement;
  #shown: readonly LogEntry[] = [];

  constructor(list: HTMLOListElement) {
    this.#list = list;
  }

  update({ log, startedAt }: ViewState): void {
    if (log === this.#shown) return;
    const last = this.#shown.at(-1);
    const known = last ? log.lastIndexOf(last) : -1;
    if (known === -1) this.#list.replaceChildren();
    for (const entry of log.slice(known + 1)) this.#list.prepend(row(entry, startedAt));
    this.#shown = log;
  }
}

function row(entry: LogEntry, startedAt: number): HTMLElement {
  const time = el("span", { class: "when" }, `+${seconds(Math.max(0, entry.at - startedAt))}`);
  const item = el("li", { class: entry.kind }, time, el("span", { class: "text" }, entry.text));
  if (entry.ms !== null) item.append(el("b", { class: "ms" }, milliseconds(entry.ms)));
  return item;
}
