import type { Builder } from "./builder.ts";
import type { Resolved } from "./options.ts";
import { reduce } from "./parts.ts";

/** What training starts with; exporters fold its exponential. */
const LOGIT_SCALE = 1 / 0.07;

export interface Towers {
  /** What the other tower sees: outputs are logits_per_image and image_embeds, or those of audio. */
  readonly kind: "image" | "audio";
  readonly embeds: string;
  readonly text: string;
}

/** Both embeddings made unit vectors, and their scaled products both ways. */
export function jointHead(g: Builder, o: Resolved, { kind, embeds, text }: Towers): void {
  const unit = (x: string): string => g.op("/Div", [x, reduce(g, "/ReduceL2", x, [-1])]);
  const [one, other] = [unit(embeds), unit(text)];
  const product = g.op("/MatMul", [other, g.op("/Transpose", [one], { perm: [1, 0] })]);
  const perText = g.op("/Mul", [product, { f: LOGIT_SCALE }]);
  const perOther = g.op("/Transpose", [perText], { perm: [1, 0] });
  g.floatOutput(perOther, `logits_per_${kind}`, [`${kind}_batch_size`, "text_batch_size"]);
  g.floatOutput(perText, "logits_per_text", ["text_batch_size", `${kind}_batch_size`]);
  g.floatOutput(other, "text_embeds", ["text_batch_size", o.hidden]);
  g.floatOutput(one, `${kind}_embeds`, [`${kind}_batch_size`, o.hidden]);
}
