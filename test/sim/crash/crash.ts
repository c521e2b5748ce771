import type { Pool } from "../../../src/page/pool.ts";
import type { PoolState } from "../../../src/state/pool-state.ts";
import { Random } from "../../unit/random.ts";
import { Browser } from "../world/browser.ts";
import { Loop } from "../world/loop.ts";
import { nameOf } from "../world/models.ts";
import type { Fate } from "../world/storage.ts";
import { WebPage } from "../world/web-page.ts";
import { Script, SHARDS } from "./script.ts";

const ORIGIN = "https://site0.example";
const MODEL = nameOf({ shards: SHARDS, stateful: true });
/** Simulated time within which all is over. */
const END_MS = 900_000;

/** What dies with the write: nothing; everything but the page; the browser, page and all. */
export const DEATHS = ["nothing", "extension", "browser"] as const;
export type Death = (typeof DEATHS)[number];

export interface CrashPoint {
  /** The n-th write since the beginning, from 1. */
  readonly write: number;
  readonly fate: Exclude<Fate, "lands">;
  readonly death: Death;
}

export interface CrashOutcome {
  readonly writes: number;
  /** What went wrong; empty: nothing. */
  readonly wrong: readonly string[];
}

/** Plays the script undisturbed, or with one write that goes wrong; the same each time. */
export function crash(point: CrashPoint | null): CrashOutcome {
  return new Crash(point).play();
}

class Crash {
  private readonly loop = new Loop();
  private readonly browser = new Browser(this.loop, new Random(11));
  private page = new WebPage(this.browser, ORIGIN);
  private readonly script = new Script();
  private readonly wrong: string[] = [];
  private writes = 0;
  private isOver = false;

  constructor(private readonly point: CrashPoint | null) {
    this.browser.trouble.fate = () => this.fate();
  }

  play(): CrashOutcome {
    const { loop } = this;
    const isLost = this.point?.death === "browser";
    const played = this.begin();
    // Of a page that is gone nothing is heard any more.
    played.then(
      () => this.end(),
      (error: unknown) => (this.isBroken && isLost ? undefined : this.fail("the page heard", error)),
    );
    while (!this.isOver && loop.now < END_MS && loop.step());
    if (!this.isOver) this.wrong.push("it does not end");
    return { writes: this.writes, wrong: [...this.wrong, ...this.script.wrong] };
  }

  private isBroken = false;

  private async begin(): Promise<void> {
    await this.script.play(
      () => this.page.connect(),
      MODEL,
      (ms) => this.sleep(ms),
    );
  }

  private fate(): Fate {
    const { point } = this;
    this.writes++;
    if (point === null || this.writes < point.write) return "lands";
    if (point.fate === "throws" && this.writes > point.write) return "lands";
    if (this.writes === point.write && point.death !== "nothing") this.loop.after(0, () => this.die(point.death));
    return point.fate;
  }

  private die(death: Death): void {
    const { browser, page } = this;
    this.isBroken = true;
    for (const bridge of browser.bridges) bridge.context.kill();
    for (const tab of browser.tabs.values()) tab.page?.kill();
    browser.killWorker();
    // Whatever comes now finds a disk that works.
    browser.trouble.fate = null;
    if (death === "extension") return;
    page.context.kill();
    browser.tabs.clear();
    this.loop.after(500, () => {
      this.goOn().then(
        () => this.end(),
        (error: unknown) => this.fail("the next page heard", error),
      );
    });
  }

  /** The browser starts anew: another page of the site looks for the session and goes on with it. */
  private async goOn(): Promise<void> {
    this.page = new WebPage(this.browser, ORIGIN);
    const pool = await this.page.connect();
    const sessions = await pool.listSessions();
    this.checkLegal();
    const { session, isReleased } = this.script;
    const known = sessions.find(({ id }) => session === null || id === session.id);
    if (known === undefined) {
      if (session !== null && !isReleased) this.wrong.push("the session is gone");
    } else await this.resume(pool, known.id);
  }

  private async resume(pool: Pool, id: string): Promise<void> {
    const session = await pool.resumeSession(id);
    await this.script.goOn(session);
    await session.release();
  }

  /** What a start may leave: sessions that wait for a page or have one, hosts and tabs of those alone. */
  private checkLegal(): void {
    const { browser } = this;
    const state = browser.worker?.journal?.state as PoolState;
    for (const { status, stages, planId } of Object.values(state.sessions)) {
      if (status !== "parked" && status !== "live") this.wrong.push(`a session is left ${status}`);
      if (planId === null || stages.length !== SHARDS) this.wrong.push("a session has no plan or not all its stages");
    }
    for (const { hostId, sessionId } of Object.values(state.hosts))
      if (state.sessions[sessionId]?.status !== "live") this.wrong.push(`host ${hostId} serves no session`);
    for (const id of browser.checkpoints.sessions)
      if (state.sessions[id] === undefined) this.wrong.push("state is stored of a session that nobody knows");
  }

  /** Released: nothing of it is left. */
  private async end(): Promise<void> {
    const { browser } = this;
    // Where the word of its release was lost, its page's grace ends first; a start takes away what was left.
    await this.sleep(400_000);
    browser.killWorker();
    browser.wake();
    await this.sleep(5_000);
    const state = browser.worker?.journal?.state;
    for (const { status } of Object.values(state?.sessions ?? {}))
      if (this.point?.death === "nothing" || status !== "parked") this.wrong.push(`the session is still ${status}`);
    for (const id of browser.checkpoints.sessions)
      if (state?.sessions[id] === undefined) this.wrong.push("stored state is left behind");
    this.isOver = true;
  }

  private fail(what: string, error: unknown): void {
    this.wrong.push(`${what}: ${error instanceof Error ? `${error.name} ${error.message}` : String(error)}`);
    this.isOver = true;
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.loop.after(ms, resolve));
  }
}
