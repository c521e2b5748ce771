import { type ErrorData, HoldfastError, toErrorData } from "../base/errors.ts";
import { BALLOTS_OPEN_MAX } from "../base/limits.ts";
import { forPosting } from "../base/post.ts";
import { agree, majorityOf, type Reply, vote } from "../fault/vote.ts";
import type { StageInfo } from "../protocol/events.ts";
import {
  type FeedMessage,
  isCheckpoint,
  type Pace,
  type StageCalls,
  type StageMessage,
  type StageStatus,
} from "../protocol/stage.ts";
import type { Doubts } from "./doubts.ts";
import type { StageLink } from "./wiring.ts";

/** One of the hosts that run a stage, over the ports of one wiring. */
export interface Replica {
  readonly host: StageInfo;
  readonly link: StageLink;
  readonly input: MessagePort;
  readonly output: MessagePort;
  /** It takes no ports, does not answer, or was outvoted: it has no say until the next wiring. */
  isOut: boolean;
}

export interface GroupEvents {
  /** What the majority says of a run, once and in the order of runs. */
  decided(message: StageMessage): void;
  stored(run: number): void;
  storeFailed(run: number, error: ErrorData): void;
  outvoted(host: StageInfo, run: number): void;
  unreachable(host: StageInfo): void;
}

interface Ballot {
  readonly replies: Map<number, Cast>;
  winner: Cast | null;
  /** What goes on: the winner's answer, or that there is none. */
  outcome: StageMessage | null;
}
type Cast = Reply & { readonly message: StageMessage };

/**
 * The replicas of one stage, which look like one stage to the driver: each run goes to all of them, and what the majority
 * answers goes on as soon as there is a majority. A reply that comes after it is still held against it. Whoever differs is
 * out. Some may be missing: a majority is one of all, so two that disagree wait for
 * the third.
 */
export class StageGroup implements StageLink {
  private readonly ballots = new Map<number, Ballot>();
  private readonly storedBy = new Map<number, Set<number>>();
  private readonly unstoredBy = new Map<number, Set<number>>();
  /** Runs between durable points; null: it is not the first stage, which says where they are. */
  private every: number | null = null;
  private lastPoint = -1;
  /** The next run to go on; null: the driver has not said yet. */
  private due: number | null = null;
  /** After a split the replicas' states differ: nothing of theirs goes on until they are put back. */
  private isHalted = false;

  constructor(
    readonly replicas: readonly Replica[],
    /** Numbers of all its hosts, those too that are not there. */
    private readonly hosts: readonly number[],
    private readonly doubts: Doubts,
    private readonly events: GroupEvents,
    /** Closed with it. */
    private readonly ports: readonly MessagePort[] = [],
  ) {
    for (const replica of replicas) {
      replica.output.onmessage = ({ data }: MessageEvent<StageMessage>) => this.replied(replica, data);
      replica.output.start();
    }
  }

  /** A majority can be had. */
  get isThere(): boolean {
    return this.replicas.filter(({ isOut }) => !isOut).length >= majorityOf(this.hosts.length);
  }

  /** A run for the stage, from the page or from what the stage before decided. */
  take(given: FeedMessage | StageMessage): void {
    const message = this.marked(given);
    for (const { input, isOut } of this.replicas) {
      if (isOut) continue;
      if (!("tensors" in message)) input.postMessage(message);
      else {
        const { tensors, transfer } = forPosting(message.tensors);
        input.postMessage({ ...message, tensors }, transfer);
      }
    }
  }

  /** Durable points are the same for all replicas, so they are said before a run goes to them and not by each for itself. */
  private marked<M extends FeedMessage | StageMessage>(message: M): M {
    const { head } = message;
    if (this.every === null || "error" in message) return message;
    const isDue = head.run - this.lastPoint >= this.every;
    if (isDue || isCheckpoint(head)) this.lastPoint = head.run;
    return isDue ? { ...message, head: { ...head, checkpoint: true } } : message;
  }

  /** What one replica says of a run, over whichever port. */
  replied(replica: Replica, message: StageMessage): void {
    const { run } = message.head;
    const voter = replica.host.stage;
    if (replica.isOut || this.isHalted || this.due === null) return;
    // Of a run that is done again nobody may wait for the answer; it is counted all the same, for the state that it leaves.
    const ballot = this.ballots.get(run) ?? { replies: new Map(), winner: null, outcome: null };
    this.ballots.set(run, ballot);
    if (ballot.replies.has(voter)) return;
    const reply = { ...replyOf(replica.host, message), message };
    ballot.replies.set(voter, reply);
    if (ballot.winner === null) this.count(run, ballot);
    else if (!agree(ballot.winner, reply)) this.outvoted(replica, run);
    this.goOn();
  }

  private count(run: number, ballot: Ballot): void {
    const casts = [...ballot.replies.values()];
    const verdict = vote(casts, this.hosts.length);
    const [first] = casts;
    // The caller has its answer: with these hosts nobody gets to the state after it.
    if (verdict.is === "split" && run < (this.due ?? 0))
      for (const replica of this.replicas) this.outvoted(replica, run);
    else if (verdict.is === "split" && first !== undefined)
      ballot.outcome = { head: first.message.head, error: toErrorData(splitError(run, casts.length)) };
    if (verdict.is !== "decided") return;
    ballot.winner = casts.find(({ voter }) => voter === verdict.winner) ?? null;
    ballot.outcome = ballot.winner === null ? null : withoutRows(ballot.winner.message);
    for (const replica of this.replicas) if (verdict.liars.includes(replica.host.stage)) this.outvoted(replica, run);
    for (const stored of [...this.storedBy.keys()]) this.lookStored(stored);
  }

  private goOn(): void {
    while (this.due !== null && !this.isHalted) {
      const ballot = this.ballots.get(this.due);
      if (ballot === undefined || ballot.outcome === null) break;
      this.due++;
      this.isHalted = ballot.winner === null;
      this.events.decided(ballot.outcome);
    }
    this.forget();
  }

  /** Ballots that all have voted in, or that are so old that nobody needs them. */
  private forget(): void {
    const voting = this.replicas.filter(({ isOut }) => !isOut);
    for (const [run, { winner, replies }] of this.ballots) {
      if (run >= (this.due ?? 0)) continue;
      const isOver = winner !== null && voting.every(({ host }) => replies.has(host.stage));
      if (isOver || this.ballots.size > BALLOTS_OPEN_MAX) this.ballots.delete(run);
    }
  }

  private outvoted(replica: Replica, run: number): void {
    if (replica.isOut) return;
    replica.isOut = true;
    this.doubts.outvoted(replica.host.stage, run);
    this.events.outvoted(replica.host, run);
  }

  /** One replica has stored its state after a run: it counts once most have, all of them in the majority so far. */
  storedAt({ host, isOut }: Replica, run: number): void {
    if (isOut) return;
    const by = this.storedBy.get(run) ?? new Set();
    this.storedBy.set(run, by.add(host.stage));
    this.lookStored(run);
  }

  /** It matters once no majority can have stored it. */
  storeFailedAt({ host }: Replica, run: number, error: ErrorData): void {
    const by = this.unstoredBy.get(run) ?? new Set();
    this.unstoredBy.set(run, by.add(host.stage));
    if (this.hosts.length - by.size >= majorityOf(this.hosts.length)) return;
    this.unstoredBy.delete(run);
    this.events.storeFailed(run, error);
  }

  private lookStored(run: number): void {
    // What is stored before the vote is over may be a lie.
    const ballot = this.ballots.get(run);
    if (this.due === null || (ballot === undefined ? run >= this.due : ballot.winner === null)) return;
    const by = this.replicas.filter(({ host, isOut }) => !isOut && this.storedBy.get(run)?.has(host.stage));
    if (by.length < majorityOf(this.hosts.length)) return;
    this.storedBy.delete(run);
    this.events.stored(run);
  }

  async sync(epoch: number): Promise<StageStatus | null> {
    return this.together((link) => link.sync(epoch));
  }
  async store(run: number): Promise<StageStatus | null> {
    return this.together((link) => link.store(run));
  }
  /** All of them, those too that are further: they are one stage, and stand at one run. */
  async restore(params: StageCalls["restore"]["params"]): Promise<StageStatus | null> {
    const { run } = params;
    this.ballots.clear();
    this.lastPoint = run;
    return this.together(
      (link) => link.restore(params),
      (present) => {
        const absent = this.hosts.filter((host) => !present.includes(host));
        this.doubts.putBack(present, absent, run);
      },
    );
  }
  feed(given: StageMessage): void {
    const message = this.marked(given);
    for (const { link, isOut } of this.replicas) if (!isOut) link.feed(message);
  }
  resend(from: number): void {
    this.due = from;
    for (const { link, isOut } of this.replicas) {
      if (isOut) continue;
      link.pace({ every: Number.MAX_SAFE_INTEGER });
      link.resend(from);
    }
  }
  pace({ every }: Pace): void {
    this.every = every;
  }
  hold(): void {
    for (const { link } of this.replicas) link.hold();
  }
  close(): void {
    for (const { link, input, output } of this.replicas) {
      link.close();
      input.close();
      output.close();
    }
    for (const port of this.ports) port.close();
  }

  /** Null: no majority answered. Throws what most of them throw. */
  private async together(
    ask: (link: StageLink) => Promise<StageStatus | null>,
    answered: (hosts: readonly number[]) => void = () => undefined,
  ): Promise<StageStatus | null> {
    const asked = this.replicas.filter(({ isOut }) => !isOut);
    const answers = await Promise.all(
      asked.map(({ link }) =>
        ask(link).catch((error: unknown) => HoldfastError.from(toErrorData(error, "STATE_LOST"))),
      ),
    );
    const statuses = new Map<number, StageStatus>();
    const silent: Replica[] = [];
    for (const [index, replica] of asked.entries()) {
      const answer = answers[index] ?? null;
      if (answer === null || answer instanceof HoldfastError) silent.push(replica);
      else statuses.set(replica.host.stage, answer);
    }
    if (statuses.size < majorityOf(this.hosts.length)) {
      const error = answers.find((answer) => answer instanceof HoldfastError);
      if (error !== undefined) throw error;
      return null;
    }
    for (const replica of silent) {
      replica.isOut = true;
      this.events.unreachable(replica.host);
    }
    answered([...statuses.keys()]);
    const counted = [...statuses].map(([host, status]) => ({
      ...status,
      stored: this.doubts.without(host, status.stored),
    }));
    return statusOf(counted, majorityOf(this.hosts.length));
  }
}

/** As far as all of them are; stored is what most have stored. */
function statusOf(statuses: readonly StageStatus[], needed: number): StageStatus {
  const runs = statuses.map(({ run }) => run);
  const counts = new Map<number, number>();
  for (const { stored } of statuses) for (const run of stored) counts.set(run, (counts.get(run) ?? 0) + 1);
  return {
    run: runs.includes(null) ? null : Math.min(...(runs as number[])),
    stored: [...counts].flatMap(([run, count]) => (count >= needed ? [run] : [])).sort((a, b) => a - b),
    dropped: Math.max(...statuses.map(({ dropped }) => dropped)),
  };
}

/** What a host says of a run, as votes are counted. */
export function replyOf({ stage, provider }: StageInfo, message: StageMessage): Reply {
  const answer = "error" in message ? { error: message.error } : { tensors: message.tensors };
  return { voter: stage, build: provider ?? "", answer, rows: "error" in message ? "" : (message.rows ?? "") };
}

/** As it goes on. */
export function withoutRows(message: StageMessage): StageMessage {
  if ("error" in message) return message;
  const { rows: _, ...rest } = message;
  return rest;
}

export function splitError(run: number, voters: number): HoldfastError {
  return new HoldfastError(
    "VOTE_SPLIT",
    `The ${voters} hosts of a stage gave ${voters} answers to run ${run}, and no majority; nothing is guessed. Run it again; if it happens again, use executionProviders ["wasm"] or more replicas.`,
  );
}
