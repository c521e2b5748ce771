import { expect, it } from "vitest";
import { TokenJournal } from "../../../src/driver/token-journal.ts";

const REQUEST = { promptIds: null, prompt: null, maxNewTokens: 8, temperature: 0, topK: 0, seed: 0, stopIds: [] };

it("a generation that follows before the one before it is stored makes nothing of that one durable", async () => {
  const writes: (() => void)[] = [];
  const journal = new TokenJournal({
    after: () => () => undefined,
    save: () => new Promise<void>((resolve) => writes.push(resolve)),
    saved: () => undefined,
  });
  const stored = async (): Promise<void> => {
    writes.shift()?.();
    await new Promise((resolve) => setTimeout(resolve, 0));
  };
  journal.begin(11, REQUEST, [1], []);
  for (let id = 0; id < 8; id++) journal.add(id);
  journal.end(8);
  journal.begin(19, REQUEST, [2], []);
  // A page that took the session up now would hear of the first one, and of none of its tokens.
  expect(journal.limit).toBe(10);
  await stored();
  expect(journal.limit).toBe(10);
  await stored();
  expect(journal.limit).toBe(18);
});
