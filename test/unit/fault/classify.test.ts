import { describe, expect, it } from "vitest";
import { ERROR_CODES, type ErrorCategory, type ErrorCode } from "../../../src/base/errors.ts";
import { callerError, classify, isHostFailure } from "../../../src/fault/classify.ts";

const HOST_FAILURES: readonly [signal: string, category: ErrorCategory][] = [
  ["Could not establish connection. Receiving end does not exist.", "CONNECTION"],
  ["Attempting to use a disconnected port object", "CONNECTION"],
  ["The message port closed before a response was received.", "CONNECTION"],
  ["tab closed", "CONNECTION"],
  ["frame process gone", "CRASH"],
  ["page process gone", "CRASH"],
  ["RuntimeError: unreachable", "CRASH"],
  ["RuntimeError: memory access out of bounds", "CRASH"],
  ["no sign of life for 3000 ms", "TIMEOUT"],
  ["run 7 passed its deadline of 60000 ms", "TIMEOUT"],
  ["Failed to execute 'mapAsync' on 'GPUBuffer': The Device was lost before mapping was resolved", "WEBGPU"],
  ["Cannot read properties of undefined (reading 'destroy')", "WEBGPU"],
  ["A valid external Instance reference no longer exists.", "WEBGPU"],
  ["another WebGPU EP inference session is being created.", "WEBGPU"],
  ["GPU device lost: unknown", "WEBGPU"],
  ["The MLContext was lost", "WEBNN"],
];

const CALLER_ERRORS: readonly [signal: string, category: ErrorCategory, code: ErrorCode][] = [
  [
    "Can't create a session. ERROR_CODE: 7, ERROR_MESSAGE: Failed to load model because protobuf parsing failed.",
    "UNKNOWN",
    "BAD_MODEL",
  ],
  ["Can't create a session. ERROR_CODE: 2, ERROR_MESSAGE: No graph was found in the protobuf.", "UNKNOWN", "BAD_MODEL"],
  ["Unsupported model IR version: 99, max supported IR version: 13", "UNKNOWN", "BAD_MODEL"],
  [
    "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 99 is under development",
    "UNKNOWN",
    "BAD_MODEL",
  ],
  [
    "ERROR_CODE: 6, ERROR_MESSAGE: Fatal error: No Op registered for Frobnicate with domain_version of 17",
    "UNKNOWN",
    "UNSUPPORTED_OP",
  ],
  ["ERROR_CODE: 9, ERROR_MESSAGE: Could not find an implementation for Conv(11)", "UNKNOWN", "UNSUPPORTED_OP"],
  ["input 'x' is missing in 'feeds'.", "UNKNOWN", "BAD_FEEDS"],
  ["invalid input 'q'", "UNKNOWN", "BAD_FEEDS"],
  [
    "ERROR_CODE: 2, ERROR_MESSAGE: Got invalid dimensions for input: x for the following indices",
    "UNKNOWN",
    "BAD_FEEDS",
  ],
  ["ERROR_CODE: 2, ERROR_MESSAGE: Invalid rank for input: x Got: 1 Expected: 2", "UNKNOWN", "BAD_FEEDS"],
  ["Unexpected input data type. Actual: (tensor(int32)) , expected: (tensor(float))", "UNKNOWN", "BAD_FEEDS"],
  ["Tensor's size(128) does not match data length(3).", "UNKNOWN", "BAD_FEEDS"],
  ["std::bad_alloc", "MEMORY", "OUT_OF_MEMORY"],
  ["Buffer size (2147483648) exceeds the max buffer size limit (1073741824).", "MEMORY", "OUT_OF_MEMORY"],
  ["SafeIntOnOverflow() Integer overflow", "MEMORY", "OUT_OF_MEMORY"],
  ["QuotaExceededError: the disk is full", "MEMORY", "QUOTA_EXCEEDED"],
  ["no available backend found. ERR: [webgpu] backend not found.", "WEBGPU", "PROVIDER_UNAVAILABLE"],
  ["no available backend found. ERR: [webnn] backend not found.", "WEBNN", "PROVIDER_UNAVAILABLE"],
  ["WebNN is not supported on this platform", "WEBNN", "PROVIDER_UNAVAILABLE"],
];

describe("a failure of the host", () => {
  it.each(HOST_FAILURES)("is told from its words: %s is %s", (signal, category) => {
    expect(classify(signal)).toBe(category);
    expect(isHostFailure(signal)).toBe(true);
  });
});

describe("an error of the caller or the model", () => {
  it.each(CALLER_ERRORS)("leaves the host alone: %s is %s, %s", (signal, category, code) => {
    expect(classify(signal)).toBe(category);
    expect(isHostFailure(signal)).toBe(false);
    expect(callerError(signal, "RUN_FAILED")).toMatchObject({ code, category, cause: signal });
  });

  it.each(CALLER_ERRORS)("says what to do about it: %s", (signal) => {
    const { message } = callerError(signal, "RUN_FAILED");
    expect(message).toMatch(/^.+[.!?] .+\.$/);
  });
});

describe("names that the model's author chose", () => {
  it.each<[string, ErrorCode]>([
    [
      "ERROR_CODE: 6, ERROR_MESSAGE: Fatal error: No Op registered for DisconnectTimeout with domain_version of 1",
      "UNSUPPORTED_OP",
    ],
    ["input 'timeout' is missing in 'feeds'.", "BAD_FEEDS"],
    ["ERROR_CODE: 2, ERROR_MESSAGE: Got invalid dimensions for input: quota", "BAD_FEEDS"],
    [
      "Non-zero status code returned while running Add node. Name:'/deadline/disconnect/Add' Status Message: bad axis",
      "RUN_FAILED",
    ],
  ])("accuse no host: %s", (signal, code) => {
    expect(isHostFailure(signal)).toBe(false);
    expect(callerError(signal, "RUN_FAILED").code).toBe(code);
  });

  it("do not hide what the host says beside them", () => {
    const signal =
      "Non-zero status code returned while running Add node. Name:'/a/Add' The Device was lost before mapping was resolved";
    expect(isHostFailure(signal)).toBe(true);
  });
});

describe("words that no row knows", () => {
  it("are nobody's failure and keep the fallback's code and category", () => {
    const signal = "invalid session id: 3";
    expect(classify(signal)).toBe("UNKNOWN");
    expect(isHostFailure(signal)).toBe(false);
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      expect(callerError(signal, code)).toMatchObject({ code, category: ERROR_CODES[code], cause: signal });
    }
  });

  it("reach the page as one line, with the whole of them as the cause", () => {
    const signal = "odd thing\n    at somewhere (file.js:1:2)";
    const error = callerError(signal, "RUN_FAILED");
    expect(error.message).toMatch(/^odd thing\. /);
    expect(error.message).not.toContain("\n");
    expect(error.cause).toBe(signal);
  });
});
