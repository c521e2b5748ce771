import { ERROR_CODES, type ErrorCategory, type ErrorCode, type ErrorData } from "../base/errors.ts";

interface Row {
  readonly pattern: RegExp;
  readonly category: ErrorCategory;
  /** Set where the error is the caller's or the model's: the host is fine and stays. */
  readonly code?: ErrorCode;
  readonly advice?: string;
}

// First match wins. What is the model's or the feeds' own comes first, for it quotes names that the page chose ("timeout");
// then the seed's order: connection, crash, memory, timeout, webgpu, webnn.
// The strings are onnxruntime-web 1.30's and the browser's own, as met in Chromium 156.
const ROWS: readonly Row[] = [
  {
    pattern:
      /protobuf parsing failed|No graph was found|Unsupported model IR version|only \*guarantees\* support for models stamped/i,
    category: "UNKNOWN",
    code: "BAD_MODEL",
    advice: "Give an ONNX file that onnxruntime-web 1.30 can read.",
  },
  {
    pattern:
      /No Op registered for|is not a registered function\/op|NOT_IMPLEMENTED|ERROR_CODE: 9|Could not find an implementation for/i,
    category: "UNKNOWN",
    code: "UNSUPPORTED_OP",
    advice: "Export the model with operators that onnxruntime-web 1.30 has for this provider.",
  },
  {
    pattern:
      /is missing in 'feeds'|invalid input '|Got invalid dimensions|Invalid rank for input|Unexpected input data type|does not match data length/i,
    category: "UNKNOWN",
    code: "BAD_FEEDS",
    advice: "Compare the feeds' names, dtypes and dims with session.inputs.",
  },
  { pattern: /disconnect|Receiving end does not exist|message port closed|tab closed/i, category: "CONNECTION" },
  {
    pattern: /frame process gone|page process gone|RuntimeError: unreachable|memory access out of bounds/i,
    category: "CRASH",
  },
  {
    pattern:
      /std::bad_alloc|SafeIntOnOverflow|out of memory|Array buffer allocation failed|exceeds the max buffer size/i,
    category: "MEMORY",
    code: "OUT_OF_MEMORY",
    advice: "Use more shards, a smaller input or another provider.",
  },
  {
    pattern: /QuotaExceeded|quota/i,
    category: "MEMORY",
    code: "QUOTA_EXCEEDED",
    advice: "Free disk space or release other models.",
  },
  { pattern: /no sign of life|deadline|timed? ?out|tab frozen/i, category: "TIMEOUT" },
  {
    pattern:
      /device (was|is) lost|Device was lost|reading 'destroy'|valid external Instance reference|another WebGPU EP inference session|GPU device lost/i,
    category: "WEBGPU",
  },
  {
    pattern: /no available backend found.*webgpu|WebGPU is not supported|webgpu backend not found/i,
    category: "WEBGPU",
    code: "PROVIDER_UNAVAILABLE",
    advice: "Leave executionProviders out, or list wasm as well.",
  },
  { pattern: /MLContext.*lost|context is lost/i, category: "WEBNN" },
  {
    pattern: /WebNN is not supported|no available backend found.*webnn/i,
    category: "WEBNN",
    code: "PROVIDER_UNAVAILABLE",
    advice: "Leave executionProviders out, or list wasm as well.",
  },
];

/** A node's name in a runtime error: the model's author chose it, so it says nothing of the host. */
const NODE_NAME = /Name:'[^']*'/g;

/** The seed's category of a failure, from what was thrown or seen. */
export function classify(signal: string): ErrorCategory {
  return rowOf(signal)?.category ?? "UNKNOWN";
}

/** True when the host that said this cannot be used any more and its work must be done by another. */
export function isHostFailure(signal: string): boolean {
  const row = rowOf(signal);
  return row !== undefined && row.code === undefined;
}

/** An error of the caller or the model as the page sees it; what no row knows keeps the runtime's own words. */
export function callerError(signal: string, fallback: ErrorCode): ErrorData {
  const row = rowOf(signal);
  const code = row?.code ?? fallback;
  const category = row?.category ?? ERROR_CODES[code];
  const advice = row?.advice ?? "The host is fine; correct the input or the model and try again.";
  return { code, category, message: `${firstLine(signal)} ${advice}`, cause: signal };
}

function rowOf(signal: string): Row | undefined {
  const words = signal.replace(NODE_NAME, "");
  return ROWS.find((row) => row.pattern.test(words));
}

function firstLine(signal: string): string {
  const line = signal.split("\n", 1)[0] ?? "";
  return /[.!?]$/.test(line) ? line : `${line}.`;
}
