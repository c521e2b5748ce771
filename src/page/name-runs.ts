import type { DriverPeer } from "./bridge-connection.ts";
import type { RunLog } from "./run-log.ts";

/** Tells a new driver every run that may have to be replayed, in order. */
export function nameRuns(peer: DriverPeer, sessionId: string, log: RunLog, acked: number): void {
  for (const entry of log.entries()) {
    if (entry.kind === "run") {
      const { run, reset, error } = entry;
      peer.emit("run", { sessionId, run, reset, error, acked });
    } else {
      const { base, last, promptIds, ids } = entry;
      peer.emit("history", { sessionId, base, promptIds, ids, runs: last - base + 1 });
    }
  }
}
