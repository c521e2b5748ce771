import { HoldfastError } from "./errors.ts";

const HEX = /^[0-9a-f]{64}$/i;
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/;

/**
 * The SHA-256 that a caller expects of a file, as 64 lower-case hex digits. Takes "sha256-" and base64 (as in
 * subresource integrity), or hex with or without that prefix.
 * @throws HoldfastError BAD_OPTIONS.
 */
export function digestOfIntegrity(integrity: string): string {
  const value = integrity.trim().replace(/^sha256-/i, "");
  if (HEX.test(value)) return value.toLowerCase();
  if (!BASE64.test(value)) {
    throw new HoldfastError(
      "BAD_OPTIONS",
      `integrity must be "sha256-" and the base64 of a SHA-256, or its 64 hex digits; it is "${integrity.slice(0, 100)}".`,
    );
  }
  const bytes = atob(value.replace(/-/g, "+").replace(/_/g, "/").replace(/=$/, ""));
  return Array.from(bytes, (character) => character.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}
