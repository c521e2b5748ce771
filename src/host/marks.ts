import { CHECKPOINT_EVERY_RUNS } from "../base/limits.ts";
import { isCheckpoint, type Pace, type StageMessage } from "../protocol/stage.ts";

/**
 * Where a session's durable points are: the first stage says it in band, in the heads of runs, so that every stage stores
 * the state after the same runs, whoever feeds them (barriers, as in Flink's aligned snapshots).
 */
export class Marks {
  private every = CHECKPOINT_EVERY_RUNS;
  /** The last run that was to be a durable point. */
  private last = -1;
  /** A run that should have been one failed: the next one is, instead. */
  private isOwed = false;

  constructor(private readonly isFirst: boolean) {}

  /** The stage stands after this run, whose state is stored, or initial. */
  begin(run: number): void {
    this.last = run;
    this.isOwed = false;
  }

  pace({ every }: Pace): void {
    this.every = every;
  }

  /** The run as it goes on from here. One that failed makes no durable point. */
  mark(message: StageMessage): StageMessage {
    const { head } = message;
    if (!this.isFirst || "error" in message) return message;
    const isDue = head.run - this.last >= this.every;
    if (isDue || isCheckpoint(head)) this.last = head.run;
    return isDue && !head.checkpoint ? { ...message, head: { ...head, checkpoint: true } } : message;
  }

  /** A failed run is never a durable point: the stages before the one that failed took its state, the others did not. */
  isPoint(answer: StageMessage): boolean {
    if (!isCheckpoint(answer.head) && !this.isOwed) return false;
    this.isOwed = "error" in answer;
    if (!this.isOwed) this.last = answer.head.run;
    return !this.isOwed;
  }
}
