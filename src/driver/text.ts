import { Tokenizer } from "@huggingface/tokenizers";
import type { EncodedText, TokenizerFiles } from "../protocol/client.ts";

/** What a byte-level tokenizer decodes an unfinished UTF-8 sequence to. */
const UNFINISHED = "\uFFFD";
/** Tokens decoded together so that spaces and multi-byte characters come out right. */
const CONTEXT_TOKENS = 8;

export interface TextCodec {
  encode(text: string): number[];
  decode(ids: readonly number[]): string;
  /** With all that models are fed beside the ids. */
  encodeAll(text: string): EncodedText;
}

export function textCodec({ json, config }: TokenizerFiles): TextCodec {
  const tokenizer = new Tokenizer(json, config);
  return {
    encode: (text) => [...tokenizer.encode(text).ids],
    encodeAll: (text) => {
      const encoding = tokenizer.encode(text, { return_token_type_ids: true });
      const { ids, attention_mask } = encoding;
      // Of a tokenizer without a post-processor there are none, whatever the library's types say.
      const types: number[] | undefined = encoding.token_type_ids;
      return { ids: [...ids], attentionMask: [...attention_mask], tokenTypeIds: types ?? ids.map(() => 0) };
    },
    decode: (ids) =>
      ids.length === 0
        ? ""
        : tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
  };
}

/** The text that token `ids[index]` adds: all pieces joined are the decoding of the whole. */
export class TextStream {
  private shown = 0;
  private start = 0;

  constructor(
    private readonly codec: TextCodec | null,
    private readonly ids: number[] = [],
  ) {}

  /** `last`: no token comes after it, and what is held back is shown as it is. */
  push(id: number, last = false): string {
    this.ids.push(id);
    if (this.codec === null) return "";
    const before = this.codec.decode(this.ids.slice(this.start, this.shown));
    const now = this.codec.decode(this.ids.slice(this.start));
    // Half a character is held back until the token that completes it.
    if (now.endsWith(UNFINISHED) && !last) return "";
    this.shown = this.ids.length;
    this.start = Math.max(this.start, this.shown - CONTEXT_TOKENS);
    return now.slice(before.length);
  }
}
