/**
 * Hosts show their state by a flag of the International Code of Signals, single-flag meanings
 * (https://en.wikipedia.org/wiki/International_maritime_signal_flags); the state stands beside it in words.
 */
import type { BoxState } from "./view-state.ts";

const SVG = "http://www.w3.org/2000/svg";

type Shape = readonly [tag: "rect" | "path", attributes: Readonly<Record<string, string>>];

interface Flag {
  readonly letter: string;
  readonly meaning: string;
  readonly shapes: readonly Shape[];
}

export type Signal = Exclude<BoxState, "vacant"> | "computing";

const [WHITE, BLUE, YELLOW, RED] = ["#fbfaf4", "#1f4e9b", "#f4c430", "#c8202f"];
const field = (fill: string): Shape => ["rect", { width: "36", height: "28", fill }];
const patch = (x: string, y: string, width: string, height: string, fill: string): Shape => [
  "rect",
  { x, y, width, height, fill },
];

export const FLAGS: Readonly<Record<Signal, Flag>> = {
  starting: { letter: "P", meaning: "about to put to sea", shapes: [field(BLUE), patch("12", "9", "12", "10", WHITE)] },
  ready: { letter: "Q", meaning: "my vessel is healthy", shapes: [field(YELLOW)] },
  computing: {
    letter: "K",
    meaning: "I wish to communicate",
    shapes: [field(YELLOW), patch("18", "0", "18", "28", BLUE)],
  },
  lost: {
    letter: "F",
    meaning: "I am disabled",
    shapes: [field(WHITE), ["path", { d: "M18 0 36 14 18 28 0 14Z", fill: RED }]],
  },
  recovering: {
    letter: "D",
    meaning: "manœuvring with difficulty",
    shapes: [field(YELLOW), patch("0", "6", "36", "16", BLUE)],
  },
};

/** Decoration: whoever cannot see it reads the state beside it. */
export function drawFlag(signal: Signal): SVGSVGElement {
  const svg = svgEl("svg", { viewBox: "0 0 36 28", class: "flag", "aria-hidden": "true" });
  const title = svgEl("title", {});
  title.textContent = `Flag ${FLAGS[signal].letter}: ${FLAGS[signal].meaning}`;
  svg.append(title, ...FLAGS[signal].shapes.map(([tag, attributes]) => svgEl(tag, attributes)));
  return svg;
}

export function svgEl<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string>>,
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
