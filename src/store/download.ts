import { HoldfastError, messageOf } from "../base/errors.ts";
import { DOWNLOAD_BACKOFF_MS, DOWNLOAD_DROPS_MAX, DOWNLOAD_STALL_MS, DOWNLOAD_STALLS_MAX } from "../base/limits.ts";
import {
  type AnswerHead,
  conditionOf,
  isSameBytes,
  isSameVersion,
  isTransient,
  readHead,
  strongValidator,
  type Validators,
} from "./http.ts";

export interface DownloadNeeds {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Whether the address that answered in the end may be read as well. */
  mayRead(finalUrl: string): boolean;
  sleep(ms: number): Promise<void>;
  readonly stallMs?: number;
}

/** Where the bytes go: a file that keeps what it has over the end of its context. */
export interface PartialSink extends Validators {
  readonly bytes: number;
  readonly total: number | null;
  /** Begins anew, with bytes of this version. */
  restart(version: Validators, total: number | null): Promise<void>;
  append(bytes: Uint8Array): Promise<void>;
  /** Everything so far is to survive. */
  keep(): Promise<void>;
}

export type Fetched =
  | ({ readonly kind: "complete"; readonly freshMs: number } & Validators)
  /** The extension may not read it; the page may have rights of its own. */
  | { readonly kind: "refused"; readonly why: string };

export type Checked = "unchanged" | "changed" | "refused";

/** A resume is asked for with If-Range, which a server's CORS rules may forbid; then with less. */
const MODES = ["if-range", "range", "plain"] as const;

/** One download into one sink, with its retries. */
class Download {
  private mode = 0;
  private answered = false;
  private drops = 0;
  private stalls = 0;
  private fruitless = 0;
  private reached: number;

  constructor(
    private readonly url: string,
    private readonly sink: PartialSink,
    private readonly needs: DownloadNeeds,
    private readonly signal: AbortSignal,
  ) {
    this.reached = sink.bytes;
  }

  async run(): Promise<Fetched> {
    const { sink } = this;
    if (sink.bytes > 0 && sink.bytes === sink.total) {
      const checked = await revalidate(this.url, sink, sink.bytes, this.needs, this.signal);
      if (checked === "unchanged") return { kind: "complete", freshMs: 0, ...versionOf(sink) };
      await sink.restart({ etag: null, lastModified: null }, null);
    }
    for (;;) {
      const done = await this.attempt();
      if (done !== null) return done;
    }
  }

  /** Null: try again. */
  private async attempt(): Promise<Fetched | null> {
    const { sink, needs } = this;
    const mode = MODES[this.mode] ?? "plain";
    const strong = strongValidator(sink);
    const from = strong === null || mode === "plain" ? 0 : sink.bytes;
    // A range asks for the bytes as they are: no content coding, so that sizes and offsets mean the file's.
    const headers: Record<string, string> = mode === "plain" ? {} : { range: `bytes=${from}-` };
    if (from > 0 && mode === "if-range" && strong !== null) headers["if-range"] = strong;
    const stop = new AbortController();
    const watch = new Watch(needs.stallMs ?? DOWNLOAD_STALL_MS, () => stop.abort());
    const signal = AbortSignal.any([this.signal, stop.signal]);
    try {
      let response: Response;
      try {
        response = await needs.fetch(this.url, { ...WITHOUT_CREDENTIALS, headers, signal });
      } catch (error) {
        return await this.unanswered(error, stop.signal.aborted);
      }
      this.answered = true;
      if (!needs.mayRead(response.url || this.url)) {
        void response.body?.cancel().catch(() => undefined);
        return { kind: "refused", why: "it leads to an address that the extension does not read" };
      }
      const head = readHead(response, from);
      const step = await this.take(head, from, response.statusText);
      if (step !== "read") {
        void response.body?.cancel().catch(() => undefined);
        return step;
      }
      if (await this.read(response, head, watch, () => stop.signal.aborted))
        return { kind: "complete", freshMs: head.freshMs, ...versionOf(sink) };
      return null;
    } finally {
      watch.end();
    }
  }

  /** What an answer's head says to do. */
  private async take(head: AnswerHead, from: number, statusText: string): Promise<"read" | Fetched | null> {
    const { sink } = this;
    const { status, start } = head;
    if (status === 200) {
      await sink.restart(head, head.total);
      return "read";
    }
    if (status === 206) {
      if (from === 0 && start === 0) await sink.restart(head, head.total);
      // Another version, or another place than the one asked for: from the beginning.
      else if (start !== from || (shows(head) && !isSameBytes(sink, head)) || (!shows(head) && this.mode > 0)) {
        await sink.restart({ etag: null, lastModified: null }, null);
        return this.again("its server sent another part than the one that was asked for");
      }
      return "read";
    }
    if (status === 416) {
      await sink.restart({ etag: null, lastModified: null }, null);
      if (from === 0) this.mode = MODES.length - 1;
      return this.again("its server does not have the range that was asked for");
    }
    const said = `${this.url} answered ${status} ${statusText}`.trim();
    if (isTransient(status)) return this.again(said);
    if (status >= 400 && status < 500) return { kind: "refused", why: said };
    throw new HoldfastError("MODEL_FETCH_FAILED", `${said}. Check the model's URL.`);
  }

  private async read(response: Response, head: AnswerHead, watch: Watch, stalled: () => boolean): Promise<boolean> {
    const { sink } = this;
    const reader = response.body?.getReader();
    try {
      for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read()) {
        watch.pause();
        await sink.append(part.value);
        watch.again();
      }
    } catch (error) {
      watch.end();
      void reader?.cancel().catch(() => undefined);
      if (error instanceof HoldfastError) throw error;
      await this.dropped(messageOf(error), stalled());
      return false;
    }
    const isShort = head.status === 206 && head.total !== null && sink.bytes < head.total;
    if (isShort) await this.dropped("its server ended the answer early", false);
    return !isShort;
  }

  /** No answer at all: the network, the server, or CORS; a page is not told which. */
  private async unanswered(error: unknown, stalled: boolean): Promise<Fetched | null> {
    if (this.signal.aborted) throw aborted(this.signal);
    if (this.answered || stalled) {
      // The network, or a server that forbids If-Range: the next try is the other one of the two.
      if (this.sink.bytes > 0 && this.mode < 2) this.mode = 1 - this.mode;
      await this.dropped(messageOf(error), stalled);
      return null;
    }
    this.mode++;
    if (this.sink.bytes === 0 && this.mode === 1) this.mode++;
    return this.mode < MODES.length ? null : { kind: "refused", why: messageOf(error) };
  }

  private async dropped(why: string, stalled: boolean): Promise<void> {
    await this.sink.keep();
    if (this.signal.aborted) throw aborted(this.signal);
    if (stalled && ++this.stalls >= DOWNLOAD_STALLS_MAX) {
      const seconds = (this.needs.stallMs ?? DOWNLOAD_STALL_MS) / 1000;
      throw new HoldfastError(
        "MODEL_FETCH_STALLED",
        `${this.url} sent nothing for ${seconds} seconds. Check the server or the network and try again.`,
      );
    }
    await this.again(why);
  }

  /** Waits a moment, longer while nothing new comes; gives up within bounds. */
  private async again(why: string): Promise<null> {
    if (this.sink.bytes > this.reached) {
      this.reached = this.sink.bytes;
      this.fruitless = 0;
    }
    const wait = DOWNLOAD_BACKOFF_MS[this.fruitless++];
    if (wait === undefined || ++this.drops > DOWNLOAD_DROPS_MAX) {
      throw new HoldfastError(
        "MODEL_FETCH_FAILED",
        `${this.url} could not be read to its end (${why}). Check the server and the network, and open the session again: what came is kept.`,
      );
    }
    await this.needs.sleep(wait);
    if (this.signal.aborted) throw aborted(this.signal);
    return null;
  }
}

/**
 * Reads a URL into a sink as anybody may read it, going on where the sink's bytes end, over drops and stalls within
 * bounds. A file that changed in between, or a server that ignores ranges, starts afresh.
 * @throws HoldfastError MODEL_FETCH_FAILED, MODEL_FETCH_STALLED, ABORTED, and what the sink throws.
 */
export function download(url: string, sink: PartialSink, needs: DownloadNeeds, signal: AbortSignal): Promise<Fetched> {
  return new Download(url, sink, needs, signal).run();
}

/** Asks whether a URL still holds the version that is known, without reading it again. */
export async function revalidate(
  url: string,
  known: Validators,
  size: number,
  needs: DownloadNeeds,
  signal: AbortSignal,
): Promise<Checked> {
  const condition = conditionOf(known);
  if (condition === null) return "changed";
  const ask = async (init: RequestInit): Promise<Checked> => {
    const within = AbortSignal.any([signal, AbortSignal.timeout(needs.stallMs ?? DOWNLOAD_STALL_MS)]);
    const response = await needs.fetch(url, { ...WITHOUT_CREDENTIALS, ...init, signal: within });
    void response.body?.cancel().catch(() => undefined);
    if (!needs.mayRead(response.url || url)) return "refused";
    if (response.status === 304) return "unchanged";
    if (response.status >= 400 && response.status < 500 && response.status !== 405) return "refused";
    const head = readHead(response, 0);
    const isSame = response.ok && isSameVersion(known, head) && (head.total === null || head.total === size);
    return isSame ? "unchanged" : "changed";
  };
  try {
    return await ask({ headers: condition });
  } catch {
    if (signal.aborted) throw aborted(signal);
    // CORS may forbid the condition; HEAD needs no leave, and shows what it is compared by.
    return ask({ method: "HEAD" }).catch(() => {
      if (signal.aborted) throw aborted(signal);
      return "refused";
    });
  }
}

/** What every origin gets: no cookies, no name of the page, no copy in the browser's own cache. */
const WITHOUT_CREDENTIALS = {
  mode: "cors",
  credentials: "omit",
  referrerPolicy: "no-referrer",
  cache: "no-store",
  redirect: "follow",
} as const satisfies RequestInit;

function versionOf({ etag, lastModified }: Validators): Validators {
  return { etag, lastModified };
}

function shows({ etag, lastModified }: Validators): boolean {
  return etag !== null || lastModified !== null;
}

function aborted(signal: AbortSignal): HoldfastError {
  return new HoldfastError("ABORTED", "The session was aborted while it opened.", { cause: signal.reason });
}

/** Calls back when nothing came for a while; time in which the reader itself is busy does not count. */
class Watch {
  private timer: ReturnType<typeof setTimeout>;

  constructor(
    private readonly ms: number,
    private readonly onStall: () => void,
  ) {
    this.timer = setTimeout(onStall, ms);
  }

  pause(): void {
    clearTimeout(this.timer);
  }

  again(): void {
    this.pause();
    this.timer = setTimeout(this.onStall, this.ms);
  }

  end(): void {
    this.pause();
  }
}
