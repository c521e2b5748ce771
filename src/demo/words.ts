const KIB = 1024;
const MIB = KIB * KIB;

export function bytes(count: number): string {
  return count < MIB ? `${Math.round(count / KIB)} KiB` : `${(count / MIB).toFixed(1)} MiB`;
}

export function milliseconds(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : seconds(ms);
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Host ids are long; eight characters tell them apart on a screen. */
export function shortId(hostId: string): string {
  return hostId.slice(0, 8);
}
