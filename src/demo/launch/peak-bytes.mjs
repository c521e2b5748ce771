import { readFileSync } from "node:fs";

const KILOBYTE = 1024;

/**
 * The most memory, in bytes, that a process of Linux ever had resident. (A child's `ru_maxrss` starts with its parent's, so that it
 * tells nothing of a small child of a large parent.)
 *
 * @param {number | "self"} pid
 */
export function peakBytes(pid) {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  if (kilobytes === undefined) throw new Error(`process ${pid} tells no peak`);
  return Number(kilobytes) * KILOBYTE;
}
