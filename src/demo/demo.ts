import { HoldfastError, type Pool, type Session } from "../page/index.ts";
import type { SessionEvent } from "../protocol/events.ts";
import { BookView } from "./book-view.ts";
import { connectOrExplain, explain } from "./connection.ts";
import { byId } from "./dom.ts";
import { findLauncher, keepLauncherInLinks } from "./launcher.ts";
import { LanesView, LogView } from "./log-view.ts";
import { FIRST_LINE, openMoby } from "./moby.ts";
import { legend, PipelineView } from "./pipeline-view.ts";
import { judge, type Outcome, type Token } from "./verdict.ts";
import { applyEvent, emptyView, noted, startRun } from "./view-state.ts";

const SHARDS = 3;
const SAMPLING = { temperature: 0.7, topK: 40 } as const;
const REDRAW_MS = 100;
const TWINS_MAX = 50;

const form = byId("controls", HTMLFormElement);
const promptField = byId("prompt", HTMLTextAreaElement);
const seedField = byId("seed", HTMLInputElement);
const lengthField = byId("length", HTMLSelectElement);
const startButton = byId("start", HTMLButtonElement);
const stopButton = byId("stop", HTMLButtonElement);
const doing = byId("doing", HTMLElement);
const verdict = byId("verdict", HTMLElement);
const comparison = byId("comparison", HTMLElement);
const dice = byId("draw-seed", HTMLButtonElement);
const twinButton = byId("twin", HTMLButtonElement);
const book = new BookView(byId("book", HTMLElement), byId("folio", HTMLElement), byId("gauge", HTMLElement));
const lanes = new LanesView(byId("lanes", HTMLElement));
const log = new LogView(byId("log", HTMLOListElement));

let view = emptyView(SHARDS, Date.now());
let pipeline: PipelineView;
let pool: Pool | null = null;
let session: Session | null = null;
let tokens: Token[] = [];
/** The lanes stand still when nothing runs. */
let drawnUntil = view.startedAt;
let running: AbortController | null = null;
/** The ids of earlier runs, to compare with: by prompt, seed and length, disturbed or not. */
const earlier = new Map<string, { undisturbed?: readonly number[]; disturbed?: readonly number[] }>();

function onEvent(event: SessionEvent): void {
  const faults = view.faults.length;
  view = applyEvent(view, event, Date.now(), tokens.length);
  for (const fault of view.faults.slice(faults)) book.mark(fault);
  if (event.type === "failed") session = null;
  draw();
}

function draw(): void {
  // While one stage is out the others wait for it, whatever the page would like to show.
  const flowing = running !== null && tokens.length > 0 && view.boxes.every(({ state }) => state === "ready");
  pipeline.update(view.boxes, flowing);
  log.update(view);
  if (running) drawnUntil = Date.now();
  lanes.update(view, drawnUntil);
}

async function start(): Promise<void> {
  if (running) return;
  const abort = new AbortController();
  running = abort;
  const run = {
    prompt: promptField.value.trim() || FIRST_LINE,
    seed: seedField.valueAsNumber || 0,
    asked: Number(lengthField.value),
  };
  tokens = [];
  view = startRun(view, Date.now());
  showVerdict("", "", false);
  setRunning(true);
  book.open(run.prompt, run.asked);
  const redraw = setInterval(tick, REDRAW_MS);
  let ended: Outcome["ended"] = "finished";
  try {
    await generate(run, abort.signal);
    if (abort.signal.aborted) ended = "stopped";
  } catch (error) {
    ended = abort.signal.aborted ? "stopped" : "failed";
    if (ended === "failed") fail(error);
  } finally {
    clearInterval(redraw);
    draw();
    running = null;
    setRunning(false);
    tick();
  }
  if (pool) conclude(run, ended);
}

async function generate(run: { prompt: string; seed: number; asked: number }, signal: AbortSignal): Promise<void> {
  pool ??= await connectOrExplain();
  if (!pool) return;
  session ??= await openMoby(pool, SHARDS, onEvent, signal);
  for (const stage of session.stages) onEvent({ type: "stage", stage });
  view = { ...view, loading: null };
  for await (const token of session.generate(run.prompt, {
    maxNewTokens: run.asked,
    ...SAMPLING,
    seed: run.seed,
    signal,
  })) {
    tokens.push(token);
    book.write(token.text);
    book.count(tokens.length);
    pipeline.pass(performance.now());
  }
}

function conclude(run: { prompt: string; seed: number; asked: number }, ended: Outcome["ended"]): void {
  const key = JSON.stringify(run);
  const before = earlier.get(key) ?? {};
  const faults = view.faults.length;
  const ids = faults === 0 ? (before.disturbed ?? before.undisturbed) : before.undisturbed;
  const disturbed = faults === 0 && before.disturbed !== undefined;
  const judged = judge({ asked: run.asked, tokens, faults, ended, twin: ids ? { ids, disturbed } : null });
  if (ended === "finished") {
    if (earlier.size >= TWINS_MAX) earlier.clear();
    earlier.set(key, { ...before, [faults === 0 ? "undisturbed" : "disturbed"]: tokens.map(({ id }) => id) });
  }
  if (ended === "failed" && tokens.length === 0) return;
  showVerdict(judged.sentence, judged.comparison, judged.wantsTwin);
  verdict.dataset["good"] = String(judged.good);
}

function fail(error: unknown): void {
  // Whatever it was, the next start begins with a session of its own.
  session?.release().catch(() => {});
  session = null;
  showVerdict(error instanceof HoldfastError ? error.code : "Failed", explain(error), false);
  verdict.dataset["good"] = "false";
  view = noted(view, { at: Date.now(), kind: "fault", text: explain(error), ms: null });
}

function showVerdict(sentence: string, compared: string, wantsTwin: boolean): void {
  verdict.textContent = sentence;
  comparison.textContent = compared;
  twinButton.hidden = !wantsTwin;
}

function setRunning(on: boolean): void {
  startButton.disabled = promptField.disabled = seedField.disabled = lengthField.disabled = dice.disabled = on;
  stopButton.disabled = !on;
  book.setWriting(on);
}

function tick(): void {
  doing.textContent = running === null ? "" : tokens.length > 0 ? "Writing" : (view.loading ?? "Asking Holdfast");
  draw();
}

async function kill(kill: (hostId: string) => Promise<void>, hostId: string): Promise<void> {
  await kill(hostId).catch((error: unknown) => {
    view = noted(view, { at: Date.now(), kind: "info", text: explain(error), ms: null });
    draw();
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void start();
});
stopButton.addEventListener("click", () => running?.abort());
twinButton.addEventListener("click", () => void start());
dice.addEventListener("click", () => {
  seedField.value = String(crypto.getRandomValues(new Uint16Array(1))[0] ?? 0);
});
// Holdfast would notice by itself, after its grace; a page that leaves politely gives its hosts back at once.
addEventListener("pagehide", () => void session?.release().catch(() => {}));

const launcher = await findLauncher();
pipeline = new PipelineView(byId("pipeline", HTMLOListElement), {
  end: "This page",
  kill: launcher ? (hostId) => void kill(launcher.kill, hostId) : null,
});
byId("kill-hint", HTMLElement).hidden = launcher !== null;
byId("legend", HTMLUListElement).replaceChildren(...legend());
keepLauncherInLinks();
draw();
