import { forPosting } from "../base/post.ts";
import type { FeedMessage, RunHead, StageMessage } from "../protocol/stage.ts";
import type { FedRun } from "./run-log.ts";

/** A session's ports: what is fed goes to the first stage, answers come from the last. */
export class Ports {
  private source: MessagePort | null = null;
  private sink: MessagePort | null = null;

  constructor(private readonly answered: (message: StageMessage) => void) {}

  /** In place of those before. */
  wire(source: MessagePort, sink: MessagePort): void {
    this.close();
    this.source = source;
    this.sink = sink;
    sink.onmessage = ({ data }: MessageEvent<StageMessage>) => this.answered(data);
  }

  /** Without ports nothing is sent: whoever wires them feeds again. */
  feed({ run, reset, feeds, lineage }: FedRun, { checkpoint, safe }: Pick<RunHead, "checkpoint" | "safe">): void {
    const { tensors, transfer } = forPosting(feeds);
    const head: RunHead = { run, reset, checkpoint, safe, reply: "page", lineage };
    this.source?.postMessage({ head, feeds: tensors } satisfies FeedMessage, transfer);
  }

  close(): void {
    this.source?.close();
    this.sink?.close();
  }
}
