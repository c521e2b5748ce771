import type { ErrorData } from "../base/errors.ts";
import type { SessionEvent } from "./events.ts";
import type { Lineage } from "./lineage.ts";
import type { SessionOptions } from "./options.ts";
import type { FailedHost, KnownBrowsers, MovedHost, OriginNews } from "./origin.ts";
import type { SessionInfo } from "./pool.ts";

/** Page's client library → bridge frame, once, by `postMessage` with one port. */
export interface Knock {
  readonly holdfast: "connect";
  readonly protocol: typeof CLIENT_PROTOCOL;
}
/** Grows when this file changes in a way that an older client library would not understand. */
export const CLIENT_PROTOCOL = 1;

/** How a generation chooses its tokens, and when it ends. */
export interface Sampling {
  readonly maxNewTokens: number;
  /** 0: greedy. */
  readonly temperature: number;
  readonly topK: number;
  readonly seed: number;
  readonly stopIds: readonly number[];
}

export interface GenerationRequest extends Sampling {
  readonly promptIds: readonly number[] | null;
  readonly prompt: string | null;
}

/** What the journal keeps of a generation, beside its ids. */
export interface GenerationHead extends Sampling {
  /** The run of its prompt. */
  readonly base: number;
  /** Run numbers that it used; null: it has not ended. */
  readonly runs: number | null;
}

/** A generation as the journal knows it: enough to go on with it, wherever that is. */
export interface KnownGeneration {
  readonly head: GenerationHead;
  readonly promptIds: readonly number[];
  readonly ids: readonly number[];
}

/** A session of the page's origin, as `pool.listSessions()` tells it. */
export interface OwnSession {
  readonly id: string;
  readonly model: string;
  readonly status: "opening" | "live" | "resuming" | "parked" | "paused" | "closing";
  /** The last run that survives everything; -1: none. */
  readonly durableRun: number;
  /** Tokens of the last generation that are known. */
  readonly tokens: number;
  /** Epoch milliseconds. */
  readonly changedAt: number;
}

/** Where a session that is taken up without its page's memory goes on. */
export interface Resumed {
  readonly info: SessionInfo;
  /** The run that all stages stand after. */
  readonly run: number;
  /** They start from initial state there. */
  readonly initial: boolean;
  readonly generation: KnownGeneration | null;
}

export interface TokenizerFiles {
  /** Contents of tokenizer.json and tokenizer_config.json. */
  readonly json: object;
  readonly config: object;
}

/** A text as token ids, and beside each whether it counts and which of two texts it is of. */
export interface EncodedText {
  readonly ids: readonly number[];
  readonly attentionMask: readonly number[];
  readonly tokenTypeIds: readonly number[];
}

/** Client library → driver. */
export interface ClientCalls {
  /** The driver is there. */
  ping: { params: null; result: null };
  /** Resolves once the origin may use Holdfast. */
  hello: { params: null; result: null };
  open: {
    params: { openId: string; model: string; options: SessionOptions; tokenizer: TokenizerFiles | null };
    result: SessionInfo;
  };
  /**
   * After the bridge was lost: takes a session up again. `acked`: the last run whose answer the page has. `initialAt`: the
   * run after which the stages had initial state when this page began with them; -1 for a session that it opened.
   */
  attach: {
    params: {
      sessionId: string;
      secret: string;
      acked: number;
      initialAt: number;
      tokenizer: TokenizerFiles | null;
    };
    result: SessionInfo;
  };
  /** Takes a session of the page's origin up whose page is gone, from what is stored. */
  resume: { params: { openId: string; sessionId: string; tokenizer: TokenizerFiles | null }; result: Resumed };
  sessions: { params: null; result: readonly OwnSession[] };
  /** Resolves when the state after all runs so far is stored; with that run. */
  durable: { params: { sessionId: string }; result: number };
  release: { params: { sessionId: string }; result: null };
  originStatus: { params: { known: KnownBrowsers }; result: OriginNews };
  /** A host of the site's own failed, as the page sees it: it is recovered as after any other fault. */
  failHost: { params: { hostId: string; signal: string }; result: FailedHost };
  /** A host of the site's own hands its stage to another one, as planned. */
  moveHost: { params: { hostId: string }; result: MovedHost };
  /** A text as its session's tokenizer has it, special tokens included. */
  encode: { params: { sessionId: string; text: string }; result: EncodedText };
  /**
   * Ends when the last token was sent. `ids`: what is known of this generation; `from`: the first index that the page is to
   * be sent.
   */
  generate: {
    params: {
      sessionId: string;
      base: number;
      request: GenerationRequest;
      ids: readonly number[];
      from: number;
      /** Of its first run; what that says of handles that live holds for the others. */
      lineage?: Lineage | undefined;
    };
    /** `runs`: run numbers used. `error`: why it ended early; a rejection means that no run was used. */
    result: { runs: number; error: ErrorData | null };
  };
}
export interface ClientEvents {
  /** The model's bytes for an open come over this port. */
  ingest: { openId: string };
  abortOpen: { openId: string };
  /**
   * A run whose feeds go over the source port. `error`: it failed before; only to be skipped in a replay. `acked`: as with
   * `ack`, which it saves.
   */
  run: {
    sessionId: string;
    run: number;
    reset: boolean;
    error: ErrorData | null;
    acked: number;
    lineage?: Lineage | undefined;
  };
  /** Runs of a generation that has ended, for replay only. `runs`: one more than ids when its last run failed. */
  history: {
    sessionId: string;
    base: number;
    promptIds: readonly number[];
    ids: readonly number[];
    runs: number;
    lineage?: Lineage | undefined;
  };
  /** After an attach: all runs that may have to be replayed were named; go on. */
  resume: { sessionId: string };
  /** Answers of all runs up to this one have arrived. */
  ack: { sessionId: string; run: number };
  /** After `hold`: all runs up to this one were fed, and none after it. */
  holds: { sessionId: string; run: number };
  stopGeneration: { sessionId: string };
  /** The page gave up on a resume: the session goes back to where it was. */
  leave: { sessionId: string };
}

/** Driver → client library. */
export interface DriverEvents {
  progress: { openId: string; event: SessionEvent };
  /** The session that a call opens has this id; said before anything else of it. */
  arrived: { openId: string; sessionId: string };
  session: { sessionId: string; event: SessionEvent };
  /** New ports to the first stage and from the last; feeds from `feedsFrom` on are to be sent (again). */
  ports: { sessionId: string; feedsFrom: number };
  /** Runs up to this one are never replayed: their feeds may go. */
  safe: { sessionId: string; run: number };
  /** All state after this run is stored: so much less would have to be done again. */
  stored: { sessionId: string; run: number };
  /** Runs up to this one survive everything. */
  durable: { sessionId: string; run: number };
  /** Said before runs that failed with a host: whatever still comes over the session's ports counts for nothing. */
  unwired: { sessionId: string };
  /** Hosts are about to change: nothing is to be fed until other ports come. Answers still do. */
  hold: { sessionId: string };
  runFailed: { sessionId: string; run: number; error: ErrorData };
  /** No run of the session will be answered any more. */
  sessionFailed: { sessionId: string; error: ErrorData };
  prompt: { sessionId: string; base: number; promptIds: readonly number[] };
  token: { sessionId: string; base: number; index: number; id: number; text: string };
}
