const BYTES_PER_NUMBER = 8;
const BYTES_PER_CHAR = 2;

/** About how many bytes plain data takes when it is stored: enough to bound what grows, not exact. */
export function sizeOf(data: unknown): number {
  if (typeof data === "string") return data.length * BYTES_PER_CHAR;
  if (ArrayBuffer.isView(data)) return data.byteLength;
  if (Array.isArray(data)) {
    // Token ids come in hundreds of thousands; what begins with a number holds nothing else.
    return typeof data[0] === "number"
      ? data.length * BYTES_PER_NUMBER
      : data.reduce<number>((sum, entry) => sum + sizeOf(entry), 0);
  }
  if (typeof data === "object" && data !== null)
    return Object.entries(data).reduce((sum, [key, value]) => sum + key.length * BYTES_PER_CHAR + sizeOf(value), 0);
  return BYTES_PER_NUMBER;
}
