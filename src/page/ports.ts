import { forPosting } from "../base/post.ts";
import type { FeedMessage, RunHead, StageMessage } from "../protocol/stage.ts";
import type { FedRun, RunLog } from "./run-log.ts";

/** A session's ports: what is fed goes to the first stage, answers come from the last. */
export class Ports {
  private source: MessagePort | null = null;
  private sink: MessagePort | null = null;
  private isHeld = false;

  constructor(
    private readonly log: RunLog,
    private readonly answered: (message: StageMessage) => void,
  ) {}

  /** In place of those before. Runs from `feedsFrom` on are fed (again). */
  wire(source: MessagePort, sink: MessagePort, feedsFrom: number): void {
    this.close();
    this.source = source;
    this.sink = sink;
    this.isHeld = false;
    sink.onmessage = ({ data }: MessageEvent<StageMessage>) => this.answered(data);
    for (const entry of this.log.feedsFrom(feedsFrom)) this.feed(entry);
  }

  /** Answers still come, and nothing is fed until there are new ports. Returns the last run that was. */
  hold(last: number): number {
    this.isHeld = true;
    return last;
  }

  /** Without ports nothing is sent: whoever wires them feeds again. */
  feed({ run, reset, feeds, lineage }: FedRun): void {
    if (this.source === null || this.isHeld) return;
    const { tensors, transfer } = forPosting(feeds);
    const checkpoint = this.log.asksCheckpoint();
    const head: RunHead = { run, reset, checkpoint, safe: this.log.safe, reply: "page", lineage };
    this.source.postMessage({ head, feeds: tensors } satisfies FeedMessage, transfer);
  }

  close(): void {
    this.source?.close();
    this.sink?.close();
  }
}
