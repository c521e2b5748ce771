import type { Pool } from "../page/index.ts";
import { connectOrExplain, explain } from "./connection.ts";
import { byId } from "./dom.ts";
import { findLauncher, keepLauncherInLinks } from "./launcher.ts";
import { LogView } from "./log-view.ts";
import { type OcrSessions, openOcr, SHARDS_EACH } from "./ocr/models.ts";
import { readPicture } from "./ocr/reader.ts";
import { ResultView } from "./ocr/result-view.ts";
import { drawSample } from "./ocr/sample.ts";
import { PipelineView } from "./pipeline-view.ts";
import { applyEvent, emptyView, startRun } from "./view-state.ts";
import { milliseconds } from "./words.ts";

/** A larger picture is scaled down: the detector reads it at 960 and the lines need little more. */
const PICTURE_SIDE_MAX = 1_920;

const canvas = byId("picture", HTMLCanvasElement);
const frame = byId("frame", HTMLElement);
const readButton = byId("read", HTMLButtonElement);
const fileField = byId("file", HTMLInputElement);
const timing = byId("timing", HTMLElement);
const overlay = frame.querySelector("svg");
if (!overlay) throw new Error("the page has no overlay");
const result = new ResultView(overlay, byId("lines", HTMLOListElement));
const log = new LogView(byId("log", HTMLOListElement));

const startedAt = Date.now();
const views = {
  detector: emptyView(SHARDS_EACH, startedAt, "Detector stage"),
  recogniser: emptyView(SHARDS_EACH, startedAt, "Recogniser stage"),
};
type Part = keyof typeof views;

const launcher = await findLauncher();
const pipelines: Readonly<Record<Part, PipelineView>> = {
  detector: pipelineOf("detector", "Picture"),
  recogniser: pipelineOf("recogniser", "Lines"),
};
let pool: Pool | null = null;
let sessions: OcrSessions | null = null;
let computing: Part | null = null;
let busy = false;

function pipelineOf(part: Part, end: string): PipelineView {
  const kill = launcher
    ? (hostId: string): void => void launcher.kill(hostId).catch((error: unknown) => say(explain(error)))
    : null;
  return new PipelineView(byId(part, HTMLOListElement), { end, kill });
}

function onEvent(part: Part): Parameters<typeof openOcr>[1] {
  return (event) => {
    views[part] = applyEvent(views[part], event, Date.now(), 0);
    if (event.type === "progress") say(views[part].loading ?? "");
    if (event.type === "failed") sessions = null;
    draw();
  };
}

function draw(): void {
  pipelines.detector.update(views.detector.boxes, computing === "detector");
  pipelines.recogniser.update(views.recogniser.boxes, computing === "recogniser");
  const both = [...views.detector.log, ...views.recogniser.log].sort((a, b) => a.at - b.at);
  log.update({ ...views.detector, log: both });
}

function say(text: string): void {
  timing.textContent = text;
}

async function read(): Promise<void> {
  if (busy) return;
  busy = readButton.disabled = true;
  try {
    if (await open()) await readWith(sessions);
  } catch (error) {
    say(explain(error));
    sessions?.release().catch(() => {});
    sessions = null;
  } finally {
    computing = null;
    busy = readButton.disabled = false;
    draw();
  }
}

async function open(): Promise<boolean> {
  if (sessions) return true;
  say("Asking Holdfast");
  pool ??= await connectOrExplain();
  if (pool) sessions = await openOcr(pool, onEvent("detector"), onEvent("recogniser"));
  else say("");
  return pool !== null;
}

async function readWith(models: OcrSessions | null): Promise<void> {
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (!pen || !models) return;
  const now = Date.now();
  views.detector = startRun(views.detector, now);
  views.recogniser = startRun(views.recogniser, now);
  result.clear(canvas);
  compute("detector");
  let found = 0;
  let foundMs = 0;
  let readMs = 0;
  say("Looking for lines");
  for await (const step of readPicture(pen.getImageData(0, 0, canvas.width, canvas.height), models, models.classes)) {
    if (step.step === "found") {
      result.show(step.boxes);
      found = step.boxes.length;
      foundMs = step.ms;
    } else {
      result.read(step.index, step.line, step.ms);
      readMs += step.ms;
    }
    say(
      `${found} ${found === 1 ? "line" : "lines"} found in ${milliseconds(foundMs)}, read in ${milliseconds(readMs)}`,
    );
    compute("recogniser");
  }
}

function compute(part: Part): void {
  computing = part;
  pipelines[part].pass(performance.now());
  draw();
}

async function take(file: File | undefined): Promise<void> {
  if (!file || busy) return;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, PICTURE_SIDE_MAX / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    canvas.setAttribute("aria-label", `The chosen picture, ${file.name}`);
    bitmap.close();
  } catch {
    return say("That file is no picture this browser can read. Please choose a PNG, JPEG or WebP.");
  }
  await read();
}

readButton.addEventListener("click", () => void read());
fileField.addEventListener("change", () => {
  void take(fileField.files?.[0]);
  // The same file may be chosen again.
  fileField.value = "";
});
for (const type of ["dragenter", "dragover", "dragleave", "drop"] as const) {
  frame.addEventListener(type, (event) => {
    event.preventDefault();
    frame.classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop") void take(event.dataTransfer?.files[0]);
  });
}
addEventListener("pagehide", () => void sessions?.release().catch(() => {}));

drawSample(canvas);
result.clear(canvas);
byId("kill-hint", HTMLElement).hidden = launcher !== null;
keepLauncherInLinks();
draw();
