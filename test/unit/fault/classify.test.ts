import { describe, expect, it } from "vitest";
import type { ErrorCategory, ErrorCode } from "../../../src/base/errors.ts";
import { callerError, classify, isHostFailure } from "../../../src/fault/classify.ts";

/** What browsers and onnxruntime-web 1.30 were seen to say when a host cannot be used any more. */
const HOST_FAILURES: readonly (readonly [signal: string, category: ErrorCategory])[] = [
  ["Could not establish connection. Receiving end does not exist.", "CONNECTION"],
  ["host tab closed", "CONNECTION"],
  ["Attempting to use a disconnected port object", "CONNECTION"],
  ["frame process gone", "CRASH"],
  ["page process gone", "CRASH"],
  ["RuntimeError: unreachable", "CRASH"],
  ["RuntimeError: memory access out of bounds", "CRASH"],
  ["no sign of life for 3000 ms", "TIMEOUT"],
  ["run 7 passed its deadline of 3000 ms", "TIMEOUT"],
  ["the host did not start before its deadline", "TIMEOUT"],
  ["mapAsync failed: The Device was lost before mapping was resolved", "WEBGPU"],
  ["Cannot read properties of undefined (reading 'destroy')", "WEBGPU"],
  ["A valid external Instance reference no longer exists.", "WEBGPU"],
  ["another WebGPU EP inference session is being created.", "WEBGPU"],
  ["GPU device lost: unknown", "WEBGPU"],
  ["GPU device lost: destroyed Device was destroyed.", "WEBGPU"],
  ["the MLContext was lost", "WEBNN"],
];

/** What the caller or the model did wrong: the host stays. */
const CALLER_ERRORS: readonly (readonly [signal: string, code: ErrorCode, category: ErrorCategory])[] = [
  ["std::bad_alloc", "OUT_OF_MEMORY", "MEMORY"],
  ["Buffer size (4294967296) exceeds the max buffer size limit (1073741824)", "OUT_OF_MEMORY", "MEMORY"],
  ["SafeIntOnOverflow() Integer overflow", "OUT_OF_MEMORY", "MEMORY"],
  ["QuotaExceededError: The operation failed", "QUOTA_EXCEEDED", "MEMORY"],
  ["no available backend found. ERR: [webgpu] backend not found.", "PROVIDER_UNAVAILABLE", "WEBGPU"],
  ["WebNN is not supported in current environment", "PROVIDER_UNAVAILABLE", "WEBNN"],
  ["Can't create a session. ERROR_CODE: 7, ERROR_MESSAGE: protobuf parsing failed", "BAD_MODEL", "UNKNOWN"],
  ["ERROR_CODE: 2, ERROR_MESSAGE: No graph was found in the protobuf.", "BAD_MODEL", "UNKNOWN"],
  ["Unsupported model IR version: 99, max supported IR version: 13", "BAD_MODEL", "UNKNOWN"],
  [
    "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions",
    "BAD_MODEL",
    "UNKNOWN",
  ],
  ["ERROR_CODE: 6, ERROR_MESSAGE: No Op registered for Frobnicate", "UNSUPPORTED_OP", "UNKNOWN"],
  ["ERROR_CODE: 9 … Could not find an implementation for Foo(1)", "UNSUPPORTED_OP", "UNKNOWN"],
  ["input 'x' is missing in 'feeds'.", "BAD_FEEDS", "UNKNOWN"],
  ["invalid input 'q'", "BAD_FEEDS", "UNKNOWN"],
  ["Got invalid dimensions for input: x", "BAD_FEEDS", "UNKNOWN"],
  ["Invalid rank for input: x", "BAD_FEEDS", "UNKNOWN"],
  ["Unexpected input data type. Actual: (tensor(int32)) , expected: (tensor(float))", "BAD_FEEDS", "UNKNOWN"],
  ["Tensor's size(128) does not match data length(3).", "BAD_FEEDS", "UNKNOWN"],
];

describe("a failure of the host", () => {
  it.each(HOST_FAILURES)("%s → %s", (signal, category) => {
    expect(classify(signal)).toBe(category);
    expect(isHostFailure(signal)).toBe(true);
  });
});

describe("an error of the caller or the model", () => {
  it.each(CALLER_ERRORS)("%s → %s, %s", (signal, code, category) => {
    expect(isHostFailure(signal)).toBe(false);
    const error = callerError(signal, "RUN_FAILED");
    expect(error).toMatchObject({ code, category, cause: signal });
    // One sentence says what happened, the next what to do.
    expect(error.message).toMatch(/^.+[.!?] .+\.$/);
  });
});

it("what no row knows keeps its own words and the code of where it came from", () => {
  expect(classify("Something new")).toBe("UNKNOWN");
  expect(isHostFailure("Something new")).toBe(false);
  expect(callerError("Something new\nat line 2", "BAD_MODEL")).toMatchObject({
    code: "BAD_MODEL",
    message: expect.stringMatching(/^Something new\. /),
    cause: "Something new\nat line 2",
  });
});
