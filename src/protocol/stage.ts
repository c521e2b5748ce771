import type { ErrorData } from "../base/errors.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { KeptTensor, Lineage } from "./lineage.ts";

/** Who gets the last stage's outputs: the page over its own port, or the driver (token loop). */
export type ReplyTo = "page" | "driver";

/** What every stage must know of a run. Travels in band with the tensors, from whoever feeds the run. */
export interface RunHead {
  /** 0, 1, 2 … without gaps within a session. */
  readonly run: number;
  /** The run starts from initial state, not from the state after the run before. */
  readonly reset: boolean;
  /** A durable point after it: whoever feeds the run asks for one, or the first stage, as the driver has told it to. */
  readonly checkpoint: boolean;
  /** Outputs of runs up to this one are never asked for again; stages drop them. -1: none yet. */
  readonly safe: number;
  readonly reply: ReplyTo;
  /** Absent where a run goes on from the run before and nothing is kept: as most do. */
  readonly lineage?: Lineage | undefined;
}

/** The state after these runs is stored: every sequence's first, and where it is asked for. */
export function isCheckpoint({ reset, checkpoint }: RunHead): boolean {
  return reset || checkpoint;
}

/** How often durable points are made. */
export interface Pace {
  /** Runs from one to the next, 1 or more. */
  readonly every: number;
}

/** Stage → stage, and last stage → page or driver. A run that failed in one stage passes through the others. */
export type StageMessage =
  | {
      readonly head: RunHead;
      readonly tensors: WireTensors /** Of a run that keeps something. */;
      readonly kept?: readonly KeptTensor[];
      /** Where replicas vote: digest of the new rows of the stage's state. Goes to the driver and no further. */
      readonly rows?: string;
    }
  | { readonly head: RunHead; readonly error: ErrorData };

/** Page → first stage, and nobody between: a run's head and feeds. The driver hears of the run beside it. */
export interface FeedMessage {
  readonly head: RunHead;
  readonly feeds: WireTensors;
}

/**
 * Where the state after a run comes from: storage; initial state, because nothing came before or the next run starts from
 * it anyway; or nowhere, because the level keeps none: then only a run that starts from initial state can be done.
 */
export type RestoreFrom = "records" | "initial" | "lost";

/** Driver → stage, on the control port. */
export interface StageCalls {
  /** Once per wiring: what this stage has. */
  sync: { params: { epoch: number }; result: StageStatus };
  /**
   * Begins to store the state after `run`, if that is where the stage stands; `stored` is told as ever. `toMove`: at levels
   * that keep no state too, since the stage is about to have another host.
   */
  store: { params: { run: number; toMove: boolean }; result: StageStatus };
  /**
   * Puts a stage at the state after `run` (-1: before the first). `answered`: runs up to this one are done again, and the
   * caller has their answers: a host in which one of them fails now is of no use. What is stored up to `durable` stays.
   */
  restore: {
    params: { run: number; from: RestoreFrom; answered: number; durable: number };
    result: StageStatus;
  };
}
export interface StageEvents {
  /** A run for the first stage that the page does not feed: of the token loop, or one that failed before and is skipped. */
  feed: StageMessage;
  /** Send kept outputs of runs from this one on once more. */
  resend: { from: number };
  /** Begin no run and send nothing until the ports come anew: another stage was lost, and all are put back together. */
  hold: null;
  /** To the first stage. */
  pace: Pace;
}
export interface StageStatus {
  /** Last run whose state this stage holds; -1: initial; null: fresh, must be restored. */
  readonly run: number | null;
  /** Runs whose state this stage has stored, ascending. */
  readonly stored: readonly number[];
  /** Outputs of runs up to this one are not kept any more: they cannot be sent again. */
  readonly dropped: number;
}
/** Stage → driver. */
export interface StageReports {
  /** The ports have arrived; said at once, also while a run is under way. */
  wired: null;

  /** The last stage's outputs of a run whose head says `reply: "driver"`. */
  output: StageMessage;
  /** What a run gave, where a host gives the same bits each time and nobody votes; large answers are not digested. */
  ran: { run: number; digest: string };
  /** A checkpoint of this run is stored. */
  stored: { run: number };
  /** It could not be stored: the durable point stays where it is, and the next one is tried as ever. */
  storeFailed: { run: number; error: ErrorData };
}
