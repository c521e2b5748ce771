/** A random id that cannot be guessed (UUID v4). Used for sessions, hosts, bridges and transactions. */
export function newId(): string {
  return crypto.randomUUID();
}
