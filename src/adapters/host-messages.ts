/** Whether a message of unknown origin has this value under this key. Foreign messages are ignored, never thrown on. */
export function isCall(message: unknown, key: string, value: string): boolean {
  return typeof message === "object" && message !== null && (message as Record<string, unknown>)[key] === value;
}
