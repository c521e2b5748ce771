import { RESOURCE_REPORT_MS } from "../base/limits.ts";
import type { HostResources } from "../protocol/host.ts";

/**
 * Which of the many readings of a host's memory are worth telling: the live tensors changed, and the last report is old
 * enough. Garbage collection moves the heap all the time; it is told along. Time is an argument, milliseconds.
 */
export class ResourceWatch {
  private told: HostResources = { tensorBytes: 0, heapBytes: null };
  private toldAt = Number.NEGATIVE_INFINITY;

  /** The reading, if it is to be told now. */
  read(reading: HostResources, now: number): HostResources | null {
    if (reading.tensorBytes === this.told.tensorBytes || now - this.toldAt < RESOURCE_REPORT_MS) return null;
    this.told = reading;
    this.toldAt = now;
    return reading;
  }
}
