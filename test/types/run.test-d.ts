/** What the forms of `session.run` give and take, held by the compiler. */
import type { Feeds, KeptOutputs, KeptState, Resident, Session, Tensor } from "../../src/page/index.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

declare const session: Session;
declare const feeds: Feeds;
declare const state: Resident;
declare const signal: AbortSignal;

/** Never called: only its types count. */
export async function forms(): Promise<readonly true[]> {
  const plain = await session.run(feeds);
  const withOptions = await session.run(feeds, { reset: true, signal });
  const kept = await session.run(feeds, { keep: true });
  const from = await session.run(feeds, { from: state });
  const branch = await session.run(feeds, { from: state, keep: true });
  const outputs = await session.run(feeds, { keep: ["hidden", "logits"] });
  const fromOutputs = await session.run(feeds, { from: state, keep: ["hidden"] });
  const fed = await session.run({ hidden: outputs.residents.hidden, logits: plain["logits"] as Tensor });
  const plainly: Same<typeof plain, Record<string, Tensor>> = true;
  const optionally: Same<typeof withOptions, Record<string, Tensor>> = true;
  const keptly: Same<typeof kept, KeptState> = true;
  const fromly: Same<typeof from, Record<string, Tensor>> = true;
  const branchly: Same<typeof branch, KeptState> = true;
  const outputly: Same<typeof outputs, KeptOutputs<"hidden" | "logits">> = true;
  const fromOutputly: Same<typeof fromOutputs, KeptOutputs<"hidden">> = true;
  const fedly: Same<typeof fed, Record<string, Tensor>> = true;
  const handle: Same<typeof kept.state, Resident> = true;
  const read: Same<Awaited<ReturnType<typeof kept.state.read>>, Record<string, Tensor>> = true;
  const names: Same<keyof typeof outputs.residents, "hidden" | "logits"> = true;
  const whole: Same<Awaited<ReturnType<typeof session.keepState>>, Resident> = true;
  return [
    ...[plainly, optionally, keptly, fromly, branchly, outputly, fromOutputly, fedly],
    ...[handle, read, names, whole],
  ];
}

/** What must not compile. */
export async function refused(): Promise<void> {
  const outputs = await session.run(feeds, { keep: ["hidden"] });
  // @ts-expect-error: an output that was not kept has no handle.
  outputs.residents.logits;
  const plain = await session.run(feeds);
  // @ts-expect-error: a run without `keep` gives no handle for its state, only outputs by name.
  const none: Resident = plain.state;
  // @ts-expect-error: a state is no feed by `from`'s name; `from` takes a handle, not a tensor.
  await session.run(feeds, { from: plain["logits"] });
  // @ts-expect-error: one name is a list of one.
  await session.run(feeds, { keep: "hidden" });
  // @ts-expect-error: a handle is given, not made.
  const made: Resident = { run: 0, output: null, tensors: [], bytes: 0 };
  // @ts-expect-error: feeds are tensors or handles.
  await session.run({ x: [1, 2, 3] });
  void [none, made];
}
