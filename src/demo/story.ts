/** What the launcher drives when there is no display. It handles no fault: that is the point of the story. */
import { connect, type Session } from "../page/index.ts";
import type { SessionEvent } from "../protocol/events.ts";
import { FIRST_LINE, openMoby } from "./moby.ts";

interface Host {
  readonly stage: number;
  readonly hostId: string;
  readonly provider: string;
  readonly bytes: number;
}

class Story {
  /** `events` are those of the whole session, the others those of the latest `generate`. */
  readonly progress = { tokens: 0, text: "", ids: [] as number[], events: [] as SessionEvent[] };
  #session: Session | null = null;

  async start({ shards }: { shards: number }): Promise<{ hosts: Host[] }> {
    const session = await openMoby(await connect(), shards, (event) => void this.progress.events.push(event));
    this.#session = session;
    const hosts = session.stages.map(({ stage, hostId, provider, weightBytes }) => ({
      stage,
      hostId,
      provider: provider ?? "unknown",
      bytes: weightBytes,
    }));
    return { hosts };
  }

  /** Greedy, so that two runs can be compared. */
  async generate({ tokens }: { tokens: number }): Promise<number[]> {
    if (!this.#session) throw new Error("the story has not started");
    Object.assign(this.progress, { tokens: 0, text: "", ids: [] });
    for await (const { id, text } of this.#session.generate(FIRST_LINE, { maxNewTokens: tokens })) {
      this.progress.ids.push(id);
      this.progress.text += text;
      this.progress.tokens = this.progress.ids.length;
      // Told at once: the kill is to come at a certain token, and a poll would be late by many.
      window.storyToken?.(String(this.progress.tokens));
    }
    return this.progress.ids;
  }

  async end(): Promise<void> {
    await this.#session?.release();
    this.#session = null;
  }
}

declare global {
  interface Window {
    story: Story;
    /** Made by the launcher. */
    storyToken?: (count: string) => void;
  }
}

window.story = new Story();
