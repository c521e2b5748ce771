import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { TextStream, textCodec } from "../../../src/driver/text.ts";

const MODEL = resolve(import.meta.dirname, "../../models/moby-llama");
const read = (name: string) => JSON.parse(readFileSync(resolve(MODEL, name), "utf8"));
const codec = textCodec({ json: read("tokenizer.json"), config: read("tokenizer_config.json") });
const reference = read("reference.json") as {
  greedy: readonly { prompt: string; prompt_ids: readonly number[]; ids: readonly number[] }[];
};

const TEXTS = [
  "Call me Ishmael.",
  " leading and trailing ",
  "two  spaces\nand\ttabs\r\n",
  "Ünïcödé — “quoted”",
  "日本語のテキスト",
  "🐳 the whale 🐋🏴‍☠️",
  "don't , stop !",
];

function pieces(ids: readonly number[]): string[] {
  const stream = new TextStream(codec);
  return ids.map((id) => stream.push(id));
}

describe("the tokenizer", () => {
  it.each(TEXTS)("gives back what it took: %j", (text) => {
    expect(codec.decode(codec.encode(text))).toBe(text);
  });

  it("agrees with the model's reference", () => {
    for (const { prompt, prompt_ids } of reference.greedy) expect(codec.encode(prompt)).toEqual(prompt_ids);
  });

  it("makes nothing of nothing", () => {
    expect([codec.encode(""), codec.decode([])]).toEqual([[], ""]);
  });
});

describe("streamed text", () => {
  it.each(TEXTS)("is, joined, the decoding of the whole: %j", (text) => {
    const ids = codec.encode(text);
    expect(pieces(ids).join("")).toBe(text);
  });

  it("is, joined, the decoding of the whole for long generations", () => {
    for (const { ids } of reference.greedy) expect(pieces(ids).join("")).toBe(codec.decode(ids));
  });

  it("never shows half a character", () => {
    const ids = codec.encode("🐳日");
    const shown = pieces(ids);
    expect(ids.length).toBeGreaterThan(2);
    expect(shown.filter((piece) => piece !== "")).toEqual(["🐳", "日"]);
  });

  it("ends with what it held back, when it ends within a character", () => {
    const ids = codec.encode("A whale: 🐳").slice(0, -1);
    const stream = new TextStream(codec);
    const shown = ids.map((id, index) => stream.push(id, index === ids.length - 1));
    expect(shown.at(-1)).not.toBe("");
    expect(shown.join("")).toBe(codec.decode(ids));
    expect(pieces(ids).join("")).not.toBe(codec.decode(ids));
  });

  it("is taken up by another with the ids that were emitted", () => {
    const ids = codec.encode("The 🐳 breached, 日本 wide, and the sea was calm again — 🐋!");
    for (let cut = 0; cut <= ids.length; cut++) {
      // Whoever takes a generation up says the emitted ids again to a stream of its own.
      const stream = new TextStream(codec);
      const again = ids.slice(0, cut).map((id) => stream.push(id));
      expect(again).toEqual(pieces(ids).slice(0, cut));
      expect([...again, ...ids.slice(cut).map((id) => stream.push(id))]).toEqual(pieces(ids));
    }
  });

  it("is empty without a tokenizer", () => {
    expect(new TextStream(null).push(5)).toBe("");
  });
});

describe("a text with all that an encoder is fed", () => {
  const vocab = { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, call: 3, me: 4, "##n": 5 };
  const bert = textCodec({
    json: {
      version: "1.0",
      added_tokens: [],
      normalizer: { type: "BertNormalizer", lowercase: true },
      pre_tokenizer: { type: "BertPreTokenizer" },
      post_processor: { type: "BertProcessing", sep: ["[SEP]", 2], cls: ["[CLS]", 1] },
      decoder: { type: "WordPiece", prefix: "##", cleanup: true },
      model: {
        type: "WordPiece",
        unk_token: "[UNK]",
        continuing_subword_prefix: "##",
        max_input_chars_per_word: 100,
        vocab,
      },
    },
    config: {},
  });

  it("has special tokens, a mask that lets all of it count, and one segment", () => {
    expect(bert.encodeAll("Call men")).toEqual({
      ids: [1, 3, 4, 5, 2],
      attentionMask: [1, 1, 1, 1, 1],
      tokenTypeIds: [0, 0, 0, 0, 0],
    });
  });

  it("has the ids that a prompt has", () => {
    const { ids, attentionMask, tokenTypeIds } = codec.encodeAll("Call me Ishmael.");
    expect(ids).toEqual(codec.encode("Call me Ishmael."));
    expect([attentionMask.length, tokenTypeIds.length]).toEqual([ids.length, ids.length]);
  });
});
