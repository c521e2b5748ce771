import { describe, expect, it } from "vitest";
import { RESOURCE_REPORT_MS } from "../../../src/base/limits.ts";
import { ResourceWatch } from "../../../src/host/resource-watch.ts";

const holds = (tensorBytes: number, heapBytes: number | null = null) => ({ tensorBytes, heapBytes });

describe("what is told of a host's memory", () => {
  it("is every change of the live tensors, but not more often than the bound", () => {
    const watch = new ResourceWatch();
    expect(watch.read(holds(64), 0)).toEqual(holds(64));
    expect(watch.read(holds(96), RESOURCE_REPORT_MS - 1)).toBeNull();
    expect(watch.read(holds(128), RESOURCE_REPORT_MS)).toEqual(holds(128));
    expect(watch.read(holds(0), 2 * RESOURCE_REPORT_MS)).toEqual(holds(0));
  });

  it("is nothing while nothing is held, or only the heap moves", () => {
    const watch = new ResourceWatch();
    expect(watch.read(holds(0, 1), 0)).toBeNull();
    expect(watch.read(holds(8, 2), 0)).toEqual(holds(8, 2));
    expect(watch.read(holds(8, 3), 10 * RESOURCE_REPORT_MS)).toBeNull();
  });
});
