import type { Sha256 } from "../base/digest.ts";
import { HoldfastError } from "../base/errors.ts";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/**
 * One text for equal data, however its keys were ordered. Properties that are undefined count as absent, as in JSON.
 * Throws BAD_OPTIONS for what JSON cannot carry: functions, bigints, NaN and infinities, cycles.
 */
export function canonicalJson(value: unknown): string {
  return write(value, []);
}

/** Equal digests: equal data. Hex SHA-256 of the canonical text. */
export function digestOf(value: unknown, sha256: Sha256): string {
  return sha256(canonicalJson(value));
}

/** A copy that shares nothing with what the caller holds. Throws as `canonicalJson` does. */
export function jsonCopy<T>(value: T): T {
  return JSON.parse(canonicalJson(value)) as T;
}

function write(value: unknown, around: readonly object[]): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (Number.isFinite(value)) return JSON.stringify(value);
    throw notJson(String(value));
  }
  if (typeof value !== "object") throw notJson(typeof value);
  if (around.includes(value)) throw notJson("a cycle");
  const inside = [...around, value];
  if (Array.isArray(value)) return `[${value.map((entry) => write(entry, inside)).join(",")}]`;
  const parts: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const entry = (value as Record<string, unknown>)[key];
    if (entry !== undefined) parts.push(`${JSON.stringify(key)}:${write(entry, inside)}`);
  }
  return `{${parts.join(",")}}`;
}

function notJson(what: string): HoldfastError {
  return new HoldfastError("BAD_OPTIONS", `State is kept as JSON, which has no ${what}; give plain data.`);
}
