import type { HostReport } from "../src/protocol/host.ts";
import type { HostSummary, PoolStatus, RefusalSummary, SessionSummary, SpareSummary } from "../src/protocol/popup.ts";
import { el } from "./dom.ts";
import { ago, bytes, counted, milliseconds, modelName } from "./words.ts";

/** What the user may do from the list; each button names its subject in `data-key` so that focus survives a redraw. */
export interface Actions {
  withdraw(origin: string): void;
  closeSession(sessionId: string): void;
}

const SHOWN_MAX = 8;

export function summary({ hosts, sessions }: PoolStatus): string {
  if (hosts.length === 0 && sessions.length === 0) return "All quiet. No site is running a model.";
  const held = hosts.reduce((sum, host) => sum + host.weightBytes, 0);
  return `${counted(hosts.length, "host")}, ${counted(sessions.length, "session")}, ${bytes(held)} of weights held`;
}

export function hostRows({ hosts, spares }: PoolStatus): HTMLElement[] {
  const working = [...hosts].sort((a, b) => a.origin.localeCompare(b.origin) || a.stage - b.stage);
  return [...working.map(hostRow), ...spares.map(spareRow)];
}

function spareRow({ hostId, provider, phase, standby }: SpareSummary): HTMLElement {
  const what = standby === null ? "Spare" : `Standby of stage ${standby.stage + 1}`;
  const title = el("span", { class: "what" }, what, el("span", { class: "id" }, hostId.slice(0, 8)));
  const detail = `tab · ${provider} · takes over when a host dies`;
  return row(phase, title, status(phase), el("span", { class: "detail" }, detail));
}

function hostRow(host: HostSummary): HTMLElement {
  const title = el(
    "span",
    { class: "what" },
    `Stage ${host.stage + 1}`,
    el("span", { class: "id" }, host.hostId.slice(0, 8)),
  );
  const detail = `${host.place} · ${host.provider ?? "provider not chosen yet"} · ${bytes(host.weightBytes)}`;
  const about = host.report === null ? [] : [el("span", { class: "detail" }, device(host.report))];
  const details = [el("span", { class: "detail" }, detail), ...about];
  return row(host.status, title, status(host.status), ...details, origin(host.origin));
}

/** What the host says of itself: browser, threads, limits, speed. */
function device({ provider, capability, speed }: HostReport): string {
  const { browser, threads, cores, memoryGiB, gpuLimits } = capability;
  const limit = provider === "webgpu" && gpuLimits !== null ? gpuLimits.maxStorageBufferBindingSize : null;
  return [
    `${browser.type} ${browser.version}`.trim(),
    `${counted(threads, "thread")} of ${counted(cores, "core")}`,
    ...(memoryGiB === null ? [] : [`${memoryGiB} GiB memory`]),
    ...(limit === null ? [] : [`buffers to ${bytes(limit)}`]),
    ...(speed === null ? [] : [`${(speed.flopsPerMs / 1e6).toFixed(1)} GFLOP/s`]),
  ].join(" · ");
}

export function sessionRows({ sessions }: PoolStatus, actions: Actions): HTMLElement[] {
  return sessions.map((session) => sessionRow(session, actions));
}

function sessionRow(session: SessionSummary, actions: Actions): HTMLElement {
  const name = modelName(session.model);
  const release = el(
    "button",
    { type: "button", "data-key": `session ${session.sessionId}`, "aria-label": `Release the session on ${name}` },
    "Release",
  );
  release.addEventListener("click", () => actions.closeSession(session.sessionId));
  const counts = `${counted(session.stages.length, "stage")} · level ${session.level} · durable to run ${session.durableRun}`;
  const tokens = session.tokens > 0 ? ` · ${counted(session.tokens, "token")}` : "";
  const stored = session.stateBytes ? ` · ${bytes(session.stateBytes)} of state stored` : "";
  return row(
    session.status,
    el("span", { class: "what", title: session.model }, name),
    status(session.status),
    el("span", { class: "detail" }, counts + tokens + stored),
    origin(session.origin),
    release,
  );
}

export function faultRows({ faults, sessions }: PoolStatus, now: number): HTMLElement[] {
  const live = new Set(sessions.filter(({ status }) => status === "live").map(({ sessionId }) => sessionId));
  return faults.slice(0, SHOWN_MAX).map((fault) => {
    // Only an answered run proves a recovery, so an idle session stays "recovering" until its next one.
    const open = live.has(fault.sessionId) ? "recovering" : "not recovered";
    const recovered = fault.recoveredMs === null ? open : `recovered in ${milliseconds(fault.recoveredMs)}`;
    const mark = fault.recoveredMs === null ? "failed" : "recovered";
    return row(
      mark,
      el("span", { class: "what" }, fault.signal),
      el("span", { class: `status ${mark}` }, recovered),
      el("span", { class: "detail" }, `stage ${fault.stage + 1} · ${fault.category.toLowerCase()}`),
      time(fault.at, now),
    );
  });
}

export function siteRows({ consents }: PoolStatus, now: number, actions: Actions): HTMLElement[] {
  return consents
    .filter((consent) => consent.allowed)
    .map((consent) => {
      const button = el(
        "button",
        { type: "button", "data-key": `site ${consent.origin}`, "aria-label": `Withdraw from ${consent.origin}` },
        "Withdraw",
      );
      button.addEventListener("click", () => actions.withdraw(consent.origin));
      return row("site", el("span", { class: "what wraps" }, consent.origin), time(consent.at, now), button);
    });
}

export function refusalRows({ refusals }: PoolStatus, now: number): HTMLElement[] {
  return refusals
    .slice(0, SHOWN_MAX)
    .map((refusal: RefusalSummary) =>
      row(
        "refused",
        el("span", { class: "what wraps" }, refusal.reason),
        el("span", { class: "status failed" }, refusal.code),
        time(refusal.at, now),
        origin(refusal.origin),
      ),
    );
}

const REPAIRED: Readonly<Record<string, string>> = {
  snapshot: "A snapshot of the journal was damaged",
  gap: "A transaction of the journal was missing",
  digest: "A transaction of the journal was damaged",
  truncated: "The end of the journal was missing",
  head: "The journal's head was damaged",
};

export function repairRows({ repairs }: PoolStatus, now: number): HTMLElement[] {
  return repairs.slice(0, SHOWN_MAX).map(({ kind, lost, at }) => {
    const cost = lost === 0 ? "nothing was lost" : `${counted(lost, "transaction")} lost`;
    return row(
      lost === 0 ? "recovered" : "failed",
      el("span", { class: "what wraps" }, REPAIRED[kind] ?? kind),
      el("span", { class: `status ${lost === 0 ? "recovered" : "failed"}` }, "repaired"),
      el("span", { class: "detail" }, cost),
      time(at, now),
    );
  });
}

function row(kind: string, ...children: readonly HTMLElement[]): HTMLElement {
  return el("li", { class: `row ${kind}` }, ...children);
}

function status(value: string): HTMLElement {
  return el("span", { class: `status ${value}` }, value);
}

function origin(value: string): HTMLElement {
  return el("span", { class: "origin" }, value);
}

function time(at: number, now: number): HTMLElement {
  return el("time", { class: "detail", datetime: new Date(at).toISOString() }, ago(at, now));
}
