import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VOTE_TOLERANCE } from "../../../src/base/limits.ts";
import { agree, majorityOf, type Reply, vote } from "../../../src/fault/vote.ts";

const build = fc.constantFrom("wasm", "webgpu");

function reply(voter: number, values: readonly number[], rows = "", of = "wasm", name = "y"): Reply {
  const tensor = { type: "float32", dims: [1, values.length], data: Float32Array.from(values) } as const;
  return { voter, build: of, rows, answer: { tensors: { [name]: tensor } } };
}

describe("a vote", () => {
  it("is won by what most say, and never by fewer", () => {
    // Which of a few things each of the voters says, in the order in which they answer; some have not.
    const said = fc
      .integer({ min: 1, max: 4 })
      .chain((half) => fc.tuple(fc.constant(2 * half + 1), fc.array(fc.nat(3), { maxLength: 2 * half + 1 })));
    fc.assert(
      fc.property(said, ([voters, what]) => {
        const replies = what.map((thing, voter) => reply(voter, [thing], String(thing)));
        const counts = what.map((thing) => what.filter((other) => other === thing).length);
        const most = Math.max(0, ...counts);
        const verdict = vote(replies, voters);
        if (most >= majorityOf(voters)) {
          const right = what[counts.indexOf(most)];
          expect(verdict).toMatchObject({ is: "decided" });
          if (verdict.is !== "decided") return;
          expect(what[verdict.winner]).toBe(right);
          expect(verdict.liars).toEqual(what.flatMap((thing, voter) => (thing === right ? [] : [voter])));
        } else expect(verdict).toEqual({ is: most + voters - what.length >= majorityOf(voters) ? "open" : "split" });
      }),
    );
  });

  it("is changed by any one bit of an output", () => {
    const values = fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(values, fc.nat(), (all, at) => {
        const right = [reply(0, all), reply(1, all)];
        const wrong = reply(2, all);
        const bytes = new Uint8Array(
          (wrong.answer as { tensors: Record<string, { data: Float32Array }> }).tensors["y"]?.data
            .buffer as ArrayBuffer,
        );
        bytes[(at >> 3) % bytes.length] = (bytes[(at >> 3) % bytes.length] as number) ^ (1 << (at % 8));
        expect(vote([wrong, ...right], 3)).toEqual({ is: "decided", winner: 0, liars: [2] });
      }),
    );
  });

  it("is changed by other rows, shapes, types and names, and by an error", () => {
    const right = reply(0, [1, 2]);
    const tensor = (right.answer as { tensors: Record<string, object> }).tensors["y"];
    const others: Reply[] = [
      reply(1, [1, 2], "other rows"),
      { ...right, answer: { tensors: { y: { ...tensor, dims: [2, 1] } as never } } },
      { ...right, answer: { tensors: { y: { ...tensor, type: "int32" } as never } } },
      reply(1, [1, 2], "", "wasm", "z"),
      { ...right, answer: { error: { code: "RUN_FAILED" } } },
    ];
    for (const other of others) {
      expect(agree(right, other)).toBe(false);
      expect(agree(other, right)).toBe(false);
    }
    const failed = others[4] as Reply;
    expect(vote([failed, right, { ...failed, voter: 2 }], 3)).toMatchObject({ is: "decided", liars: [0] });
  });

  it("between providers allows for rounding, and no more", () => {
    const scale = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(scale, fc.double({ min: -2, max: 2, noNaN: true }), build, (largest, off, of) => {
        const right = [largest, largest / 3];
        const near = [largest, largest / 3 + off * VOTE_TOLERANCE * largest];
        const isExact = of === "wasm";
        const one = reply(0, right);
        const other = reply(1, near, "", of);
        const same = Float32Array.from(right)[1] === Float32Array.from(near)[1];
        if (same) expect(agree(one, other)).toBe(true);
        else if (isExact || Math.abs(off) > 1.01) expect(agree(one, other)).toBe(false);
        else if (Math.abs(off) < 0.99) expect(agree(one, other)).toBe(true);
        expect(agree(other, one)).toBe(agree(one, other));
      }),
    );
  });

  it("between providers asks for the same choice where logits are close", () => {
    const one = reply(0, [1, 1.0001], "a", "wasm", "logits");
    expect(agree(one, reply(1, [1.0001, 1], "b", "webgpu", "logits"))).toBe(false);
    expect(agree(one, reply(1, [1, 1.0002], "b", "webgpu", "logits"))).toBe(true);
    expect(agree(reply(0, [1, 1.0001]), reply(1, [1.0001, 1], "", "webgpu"))).toBe(true);
    expect(agree(reply(0, [1, Number.NaN]), reply(1, [1.0001, 1], "", "webgpu"))).toBe(false);
  });
});
