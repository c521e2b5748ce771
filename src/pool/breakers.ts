import { BREAKERS_MAX } from "../base/limits.ts";
import { type Breaker, breakerAt, CLOSED, nextBreaker } from "../fault/breaker.ts";
import type { Place, Provider } from "../protocol/options.ts";
import type { AvoidedProvider, BreakerInfo } from "../protocol/origin.ts";
import { planStage, type SessionRecord } from "../state/pool-state.ts";

interface Entry {
  readonly breaker: Breaker;
  readonly origin: string;
  readonly weights: string;
  readonly stage: number;
  readonly provider: Provider;
  readonly place: Place;
}

/**
 * Circuit breakers, one for each stage's weights, provider and place: what fails five times in a row is given no work for half a
 * minute, whichever session asks. Each site has its own, so that none can shut out another. They live as long as the service
 * worker: a new one gives everything a new chance.
 */
export class Breakers {
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly now: () => number) {}

  /** A host of this stage failed. `provider` null: it had not come so far. */
  failed(session: SessionRecord, stage: number, provider: Provider | null): void {
    this.tell(session, stage, provider, "failure");
  }

  /** It answered. */
  succeeded(session: SessionRecord, stage: number): void {
    this.tell(session, stage, session.stages[stage]?.provider ?? null, "success");
  }

  /** Providers that a host of this stage is not to take now. */
  avoided(session: SessionRecord, stage: number): readonly AvoidedProvider[] {
    const open: AvoidedProvider[] = [];
    for (const { breaker, provider, ...entry } of this.entries.values()) {
      const now = breakerAt(breaker, this.now());
      if (now.state === "open" && isSame(entry, keyOf(session, stage))) open.push({ provider, until: now.until });
    }
    return open;
  }

  /** What a site may know: of its own sessions. */
  of(origin: string): readonly BreakerInfo[] {
    return [...this.entries.values()]
      .filter((entry) => entry.origin === origin)
      .map(({ breaker, origin: _, ...key }) => {
        const now = breakerAt(breaker, this.now());
        return {
          ...key,
          state: now.state,
          failures: now.state === "closed" ? now.failures : 0,
          successes: now.state === "half_open" ? now.successes : 0,
          retryAt: now.state === "open" ? now.until : null,
        };
      });
  }

  private tell(session: SessionRecord, stage: number, provider: Provider | null, type: "failure" | "success"): void {
    if (provider === null || session.planId === null) return;
    const key = keyOf(session, stage);
    const id = JSON.stringify([key.origin, key.weights, key.stage, provider, key.place]);
    const breaker = nextBreaker(this.entries.get(id)?.breaker ?? CLOSED, { type, now: this.now() });
    this.entries.delete(id);
    if (breaker.state === "closed" && breaker.failures === 0) return;
    this.entries.set(id, { ...key, provider, breaker });
    const [oldest] = this.entries.keys();
    if (this.entries.size > BREAKERS_MAX && oldest !== undefined) this.entries.delete(oldest);
  }
}

type Key = Omit<Entry, "breaker" | "provider">;

/** A plan's id is the digest of its files and of how they are cut: with the stage, it names the stage's weights. */
function keyOf(session: SessionRecord, stage: number): Key {
  const { origin, planId, options } = session;
  return { origin, weights: planId ?? "", stage: planStage(session, stage), place: options.place };
}

function isSame(a: Key, b: Key): boolean {
  return a.origin === b.origin && a.weights === b.weights && a.stage === b.stage && a.place === b.place;
}
