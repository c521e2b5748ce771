import { createSHA256 } from "hash-wasm";
import { toHex } from "./bytes.ts";

/** SHA-256 of a text's UTF-8 bytes as 64 lower-case hex digits. Synchronous and pure. */
export type Sha256 = (text: string) => string;

/** Loads the hash once; what it resolves with needs no further wait. */
export async function loadSha256(): Promise<Sha256> {
  const hasher = await createSHA256();
  return (text) => hasher.init().update(text).digest("hex");
}

/** SHA-256 of bytes, by the browser and off this thread, as 64 lower-case hex digits. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return toHex(await crypto.subtle.digest("SHA-256", bytes));
}
