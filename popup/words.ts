const KIB = 1024;
const MIB = KIB * KIB;
const GIB = MIB * KIB;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export function bytes(count: number): string {
  if (count < KIB) return `${count} B`;
  if (count < MIB) return `${Math.round(count / KIB)} KiB`;
  return count < GIB ? `${(count / MIB).toFixed(1)} MiB` : `${(count / GIB).toFixed(2)} GiB`;
}

export function milliseconds(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** "just now", "4 min ago": coarse, so that the page does not fidget. */
export function ago(at: number, now: number): string {
  const past = Math.max(0, now - at);
  if (past < MINUTE_MS) return "just now";
  if (past < HOUR_MS) return `${Math.floor(past / MINUTE_MS)} min ago`;
  return past < DAY_MS ? `${Math.floor(past / HOUR_MS)} h ago` : `${Math.floor(past / DAY_MS)} d ago`;
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A model's URL is long and its end tells the most. */
export function modelName(model: string): string {
  const parts = model.split(/[?#]/)[0]?.split("/").filter(Boolean) ?? [];
  return parts.slice(-3).join("/") || model;
}
