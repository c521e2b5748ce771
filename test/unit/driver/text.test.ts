import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { TextStream, textCodec } from "../../../src/driver/text.ts";

const MODEL = resolve(import.meta.dirname, "../../models/moby-llama");
const read = (name: string): object => JSON.parse(readFileSync(resolve(MODEL, name), "utf8")) as object;
const codec = textCodec({ json: read("tokenizer.json"), config: read("tokenizer_config.json") });

const TEXTS = [
  "Call me Ishmael.",
  "  two  spaces,\n\nand a new line",
  "æøå – “quoted” … naïve café",
  "日本語のテキスト、鯨。",
  "a whale 🐋 and a family 👨‍👩‍👧",
  "мочи́ть ﷽ ไทย",
];

function streamed(ids: readonly number[]): string[] {
  const stream = new TextStream(codec);
  return ids.map((id) => stream.push(id));
}

describe("the text of a stream of tokens", () => {
  it.each(TEXTS)("joined is the decoding of the whole: %s", (text) => {
    const ids = codec.encode(text);
    expect(ids.length).toBeGreaterThan(2);
    expect(streamed(ids).join("")).toBe(codec.decode(ids));
  });
  it.each(TEXTS)("never shows half a character: %s", (text) => {
    expect(streamed(codec.encode(text)).filter((piece) => piece.includes("\uFFFD"))).toEqual([]);
  });
  it("holds a character back until its last token", () => {
    const ids = codec.encode("🐋");
    const pieces = streamed(ids);
    expect(pieces.filter((piece) => piece !== "")).toHaveLength(1);
    expect(pieces.join("")).toBe(codec.decode(ids));
  });
  it("of the reference continuations is what the whole decodes to", () => {
    const { greedy } = read("reference.json") as { greedy: { prompt: string; prompt_ids: number[]; ids: number[] }[] };
    for (const { prompt, prompt_ids, ids } of greedy) {
      expect(codec.encode(prompt)).toEqual(prompt_ids);
      expect(streamed(ids).join("")).toBe(codec.decode(ids));
    }
  });
  it("goes on where another stream was cut off", () => {
    const ids = codec.encode(TEXTS.join(" "));
    for (let cut = 0; cut < ids.length; cut += 7) {
      const again = new TextStream(codec);
      const before = ids.slice(0, cut).map((id) => again.push(id));
      const after = ids.slice(cut).map((id) => again.push(id));
      expect([...before, ...after].join("")).toBe(codec.decode(ids));
    }
  });
  it("is empty without a tokenizer", () => {
    expect(new TextStream(null).push(5)).toBe("");
  });
});
