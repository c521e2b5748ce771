import { createSHA256 } from "hash-wasm";

/** SHA-256 of a text's UTF-8 bytes as 64 lower-case hex digits. Synchronous and pure. */
export type Sha256 = (text: string) => string;

/** Loads the hash once; what it resolves with needs no further wait. */
export async function loadSha256(): Promise<Sha256> {
  const hasher = await createSHA256();
  return (text) => hasher.init().update(text).digest("hex");
}
