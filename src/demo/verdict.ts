/** Whether a run kept its promise, counted from what the page received and from nothing else. */
export interface Token {
  readonly index: number;
  readonly id: number;
  readonly text: string;
}

export interface Outcome {
  readonly asked: number;
  readonly tokens: readonly Token[];
  readonly faults: number;
  readonly ended: "finished" | "stopped" | "failed";
  /** The ids of another run of the same prompt and seed, when there was one. */
  readonly twin: { readonly ids: readonly number[]; readonly disturbed: boolean } | null;
}

export interface Verdict {
  readonly good: boolean;
  readonly sentence: string;
  readonly comparison: string;
  /** Another run, undisturbed, would let the comparison be made. */
  readonly wantsTwin: boolean;
}

export function judge(outcome: Outcome): Verdict {
  const { missing, twice } = gaps(outcome);
  const whole = missing === 0 && twice === 0;
  const lost = whole
    ? "none lost"
    : [missing > 0 ? `${missing} missing` : "", twice > 0 ? `${twice} came twice` : ""].filter(Boolean).join(", ");
  const compared = compare(outcome);
  return {
    good: whole && outcome.ended !== "failed" && compared.equal !== false,
    sentence: `${count(outcome)}, ${lost}`,
    comparison: compared.text,
    wantsTwin: compared.equal === null && outcome.faults > 0 && outcome.ended === "finished",
  };
}

function count({ asked, tokens, ended }: Outcome): string {
  if (ended === "stopped") return `Stopped after ${tokens.length} of ${asked} tokens`;
  if (ended === "failed") return `Broken off after ${tokens.length} of ${asked} tokens`;
  const early = tokens.length < asked ? " (the model ended its text)" : "";
  return `${tokens.length} of ${early ? tokens.length : asked} tokens${early}`;
}

/** Indexes count from 0 without a gap; how many there should be is known up to the highest one seen. */
function gaps({ tokens }: Outcome): { missing: number; twice: number } {
  const seen = new Set(tokens.map(({ index }) => index));
  const highest = Math.max(-1, ...seen);
  return { missing: highest + 1 - seen.size, twice: tokens.length - seen.size };
}

function compare({ tokens, faults, ended, twin }: Outcome): { equal: boolean | null; text: string } {
  if (!twin) {
    if (ended !== "finished") return { equal: null, text: "" };
    if (faults === 0)
      return { equal: null, text: "No fault occurred. Runs of the same prompt and seed are compared with this one." };
    return { equal: null, text: "Not yet compared: there was no undisturbed run of this prompt and seed." };
  }
  const name = twin.disturbed ? "the disturbed run before" : "the undisturbed run of the same seed";
  const differing = tokens.filter(({ id, index }) => id !== twin.ids[index]).length;
  if (differing > 0) return { equal: false, text: `${differing} of them differ from ${name}.` };
  if (ended === "finished" && tokens.length !== twin.ids.length) {
    return { equal: false, text: `Equal as far as they go, but ${name} has ${twin.ids.length}.` };
  }
  return { equal: true, text: `Token for token the same as ${name}.` };
}
