import * as v from "valibot";
import { ERROR_CATEGORIES, ERROR_CODES, type ErrorCode, HoldfastError } from "../base/errors.ts";
import { FAILURE_CHARS_MAX, NEW_TOKENS_MAX, PROMPT_CHARS_MAX, PROMPT_TOKENS_MAX } from "../base/limits.ts";
import type { CallHandlers, EventHandlers } from "../base/rpc.ts";
import type { ClientCalls, ClientEvents } from "../protocol/client.ts";
import { isLineage, type Lineage } from "../protocol/lineage.ts";

// A page is not to be trusted: it may speak this protocol without the client library. What does not fit is refused
// here, before it reaches the pool's journal or another site's driver in the same process.

const id = v.pipe(v.string(), v.maxLength(100));
const run = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const acked = v.pipe(v.number(), v.safeInteger(), v.minValue(-1));
const whole = (most: number, least = 0) => v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));

/** Token ids, checked in one pass: there may be many. */
function ids(countMax: number) {
  return v.custom<readonly number[]>(
    (value) => Array.isArray(value) && value.length <= countMax && value.every((each) => Number.isSafeInteger(each)),
    `expected at most ${countMax} whole numbers`,
  );
}

const error = v.object({
  code: v.picklist(Object.keys(ERROR_CODES) as ErrorCode[]),
  category: v.picklist(ERROR_CATEGORIES),
  message: v.pipe(v.string(), v.maxLength(100_000)),
  cause: v.exactOptional(v.pipe(v.string(), v.maxLength(100_000))),
});
const contents = v.custom<object>((value) => typeof value === "object" && value !== null, "expected an object");
const tokenizer = v.nullable(v.object({ json: contents, config: contents }));
const request = v.object({
  promptIds: v.nullable(ids(PROMPT_TOKENS_MAX)),
  prompt: v.nullable(v.pipe(v.string(), v.maxLength(PROMPT_CHARS_MAX))),
  maxNewTokens: whole(NEW_TOKENS_MAX, 1),
  temperature: v.pipe(v.number(), v.finite(), v.minValue(0)),
  topK: whole(1_000_000),
  seed: whole(2 ** 32 - 1),
  stopIds: ids(10_000),
});

const lineage = v.optional(v.custom<Lineage>(isLineage, "expected a lineage"));

const CALLS: { readonly [M in keyof ClientCalls]: v.GenericSchema<unknown, unknown> } = {
  ping: v.unknown(),
  hello: v.unknown(),
  // The pool itself checks the options.
  open: loose({ openId: id, model: v.string(), options: v.unknown(), tokenizer }),
  attach: loose({ sessionId: id, secret: id, acked, initialAt: acked, tokenizer }),
  resume: loose({ openId: id, sessionId: id, tokenizer }),
  sessions: v.unknown(),
  durable: loose({ sessionId: id }),
  release: loose({ sessionId: id }),
  generate: loose({ sessionId: id, base: run, request, ids: ids(NEW_TOKENS_MAX), from: run, lineage }),
  originStatus: loose({ known: v.record(id, id) }),
  moveHost: loose({ hostId: id }),
  failHost: loose({ hostId: id, signal: v.pipe(v.string(), v.maxLength(FAILURE_CHARS_MAX)) }),
  encode: loose({ sessionId: id, text: v.pipe(v.string(), v.maxLength(PROMPT_CHARS_MAX)) }),
};

const EVENTS: { readonly [E in keyof ClientEvents]: v.GenericSchema<unknown, unknown> } = {
  ingest: loose({ openId: id }),
  abortOpen: loose({ openId: id }),
  run: loose({ sessionId: id, run, reset: v.boolean(), error: v.nullable(error), acked, lineage }),
  history: loose({
    sessionId: id,
    base: run,
    promptIds: ids(PROMPT_TOKENS_MAX),
    ids: ids(NEW_TOKENS_MAX),
    runs: run,
    lineage,
  }),
  resume: loose({ sessionId: id }),
  ack: loose({ sessionId: id, run: acked }),
  holds: loose({ sessionId: id, run: acked }),
  stopGeneration: loose({ sessionId: id }),
  leave: loose({ sessionId: id }),
};

/** An object with these entries, from anything. */
function loose(entries: v.ObjectEntries): v.GenericSchema<unknown, unknown> {
  return v.pipe(v.unknown(), v.object(entries));
}

type Handler = (params: unknown, ports: readonly MessagePort[]) => unknown;

/** Calls whose parameters do not fit are answered with BAD_OPTIONS. */
export function checkedCalls(handlers: CallHandlers<ClientCalls>): CallHandlers<ClientCalls> {
  const checked = Object.entries(handlers).map(([method, handler]) => {
    const schema = CALLS[method as keyof ClientCalls];
    return [
      method,
      (params: unknown, ports: readonly MessagePort[]) => {
        const parsed = v.safeParse(schema, params);
        if (parsed.success) return (handler as Handler)(parsed.output, ports);
        const [issue] = parsed.issues;
        const where = v.getDotPath(issue) ?? "the parameters";
        throw new HoldfastError("BAD_OPTIONS", `In the call ${method}, ${where} is not valid: ${issue.message}.`);
      },
    ];
  });
  return Object.fromEntries(checked) as CallHandlers<ClientCalls>;
}

/** Events that do not fit are ignored. */
export function checkedEvents(handlers: EventHandlers<ClientEvents>): EventHandlers<ClientEvents> {
  const checked = Object.entries(handlers).map(([name, handler]) => {
    const schema = EVENTS[name as keyof ClientEvents];
    return [
      name,
      (payload: unknown, ports: readonly MessagePort[]) => {
        const parsed = v.safeParse(schema, payload);
        if (parsed.success) (handler as Handler)(parsed.output, ports);
      },
    ];
  });
  return Object.fromEntries(checked) as unknown as EventHandlers<ClientEvents>;
}
