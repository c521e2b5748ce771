import * as v from "valibot";
import { HoldfastError } from "../base/errors.ts";
import { SPEED_KEPT_MS } from "../base/limits.ts";
import type { BrowserIdentity, HostCapability, HostReport, MeasuredSpeed } from "../protocol/host.ts";
import { PROVIDERS, type Provider } from "../protocol/options.ts";
import { REPORTS_MAX } from "./thresholds.ts";

const Count = v.pipe(v.number(), v.finite(), v.minValue(0));
const Name = v.pipe(v.string(), v.maxLength(100));
const Report = v.strictObject({
  provider: v.picklist(PROVIDERS),
  at: Count,
  capability: v.strictObject({
    browser: v.strictObject({ type: Name, version: Name }),
    providers: v.array(v.picklist(PROVIDERS)),
    softwareGpu: v.boolean(),
    gpuLimits: v.nullable(v.strictObject({ maxBufferSize: Count, maxStorageBufferBindingSize: Count })),
    threads: Count,
    cores: Count,
    memoryGiB: v.nullable(Count),
  }),
  speed: v.nullable(v.strictObject({ flopsPerMs: Count, bytesPerMs: Count, at: Count })),
});
const Stored = v.array(Report);

/** The newest capability report of each browser type and provider. */
export class HostReports {
  private readonly reports = new Map<string, HostReport>();

  /** `browser`: the one that the pool itself runs in. */
  constructor(private readonly browser: BrowserIdentity) {}

  /** @throws HoldfastError INTERNAL when the record is damaged or of another version. */
  static from(stored: unknown, browser: BrowserIdentity): HostReports {
    const parsed = v.safeParse(Stored, stored);
    if (!parsed.success) throw new HoldfastError("INTERNAL", "The stored capability reports are not readable.");
    const reports = new HostReports(browser);
    for (const report of parsed.output.slice(-REPORTS_MAX)) reports.keep(report);
    return reports;
  }

  toJSON(): readonly HostReport[] {
    return [...this.reports.values()];
  }

  /** A speed that was not measured this time is that of before, unless the browser is another version. */
  add(provider: Provider, capability: HostCapability, speed: MeasuredSpeed | null, at: number): void {
    const before = this.reports.get(keyOf(capability.browser.type, provider));
    const isSame = before?.capability.browser.version === capability.browser.version;
    const kept = isSame ? (before?.speed ?? null) : null;
    this.keep({ provider, at, capability, speed: speed === null ? kept : { ...speed, at } });
  }

  get(browserType: string, provider: Provider): HostReport | null {
    return this.reports.get(keyOf(browserType, provider)) ?? null;
  }

  get ownType(): string {
    return this.browser.type;
  }

  own(provider: Provider): HostReport | null {
    return this.get(this.browser.type, provider);
  }

  /** Providers of this browser whose speed is not known, or not any more. A clock that was set back makes it unknown. */
  unmeasured(now: number): Provider[] {
    return PROVIDERS.filter((provider) => {
      const speed = this.own(provider)?.speed ?? null;
      return speed === null || Math.abs(now - speed.at) > SPEED_KEPT_MS;
    });
  }

  private keep(report: HostReport): void {
    const key = keyOf(report.capability.browser.type, report.provider);
    this.reports.delete(key);
    this.reports.set(key, report);
    const [oldest] = this.reports.keys();
    if (this.reports.size > REPORTS_MAX && oldest !== undefined) this.reports.delete(oldest);
  }
}

function keyOf(browserType: string, provider: Provider): string {
  return `${provider} ${browserType}`;
}
