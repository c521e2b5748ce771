import { describe, expect, it } from "vitest";
import { WEIGHT_PIECE_BYTES, WEIGHTS_IN_FLIGHT_BYTES_MAX } from "../../../src/base/limits.ts";
import { streamWeights } from "../../../src/host/weight-stream.ts";
import type { WeightPiece } from "../../../src/protocol/host.ts";
import type { ShardWeight } from "../../../src/shard/types.ts";

const BIG = 5 * WEIGHT_PIECE_BYTES + 7;
const weight = (path: string, offset: number, length: number, file = ""): ShardWeight => ({
  path,
  file,
  offset,
  length,
});

/** A keeper's store and a frame that answers when it is told to. */
function line(size: number) {
  const open = new Set<string>();
  const pieces: WeightPiece[] = [];
  const answers: (() => void)[] = [];
  const told: number[] = [];
  let [answersAtOnce, flying, flyingMost] = [true, 0, 0];
  return {
    ...{ open, pieces, told, answers },
    hold: () => {
      answersAtOnce = false;
    },
    flyingMost: () => flyingMost,
    needs: {
      open: async (file: string) => {
        open.add(file);
        const read = (offset: number, length: number) => {
          const count = Math.max(0, Math.min(length, size - offset));
          return Uint8Array.from({ length: count }, (_, i) => (offset + i) % 251);
        };
        return { size, read, close: () => void open.delete(file) };
      },
      send: (piece: WeightPiece) => {
        pieces.push(piece);
        flying += piece.bytes.length;
        flyingMost = Math.max(flyingMost, flying);
        return new Promise<void>((resolve) => {
          const answer = () => {
            flying -= piece.bytes.length;
            resolve();
          };
          if (answersAtOnce) answer();
          else answers.push(answer);
        });
      },
      onBytes: (loaded: number) => void told.push(loaded),
    },
  };
}
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
};

describe("weights on their way to a host", () => {
  it("come in pieces, in order, each of the right bytes", async () => {
    const { needs, pieces, told } = line(BIG + 100);
    await streamWeights([weight("a", 3, 10), weight("b", 20, BIG)], false, needs);
    expect(pieces.map(({ path, offset, bytes }) => [path, offset, bytes.length, bytes[0]])).toEqual([
      ["a", 0, 10, 3],
      ...[0, 1, 2, 3, 4].map((i) => {
        const offset = i * WEIGHT_PIECE_BYTES;
        return ["b", offset, WEIGHT_PIECE_BYTES, (20 + offset) % 251];
      }),
      ["b", 5 * WEIGHT_PIECE_BYTES, 7, (20 + 5 * WEIGHT_PIECE_BYTES) % 251],
    ]);
    expect(pieces.every(({ path, length }) => length === (path === "a" ? 10 : BIG))).toBe(true);
    expect(told.at(-1)).toBe(BIG + 10);
  });
  it("wait while the frame has not taken in what is under way", async () => {
    const { needs, hold, answers, flyingMost } = line(10 * BIG);
    hold();
    const done = streamWeights([weight("a", 0, BIG), weight("b", BIG, BIG)], false, needs);
    for (let answered = 0; answered < 12; answered++) {
      await turns();
      answers.shift()?.();
    }
    await done;
    expect(flyingMost()).toBe(WEIGHTS_IN_FLIGHT_BYTES_MAX);
  });
  it("say whether they have to be kept: those of several readers, or all", async () => {
    for (const keepsAll of [false, true]) {
      const { needs, pieces } = line(100);
      await streamWeights([weight("a", 0, 5), { ...weight("b", 5, 5), isShared: true }], keepsAll, needs);
      expect(pieces.map(({ isKept }) => isKept)).toEqual([keepsAll, true]);
    }
  });
  it("of no bytes come too", async () => {
    const { needs, pieces } = line(8);
    await streamWeights([weight("empty", 4, 0)], false, needs);
    expect(pieces).toMatchObject([{ path: "empty", length: 0, offset: 0 }]);
  });
  it("that lie outside their file are a bad model, and the files are closed", async () => {
    const { needs, open } = line(100);
    await expect(
      streamWeights([weight("a", 0, 50, "x"), weight("b", 60, 50, "y")], false, needs),
    ).rejects.toMatchObject({
      code: "BAD_MODEL",
    });
    expect([...open]).toEqual([]);
  });
  it("end when the frame is lost", async () => {
    const { needs, open } = line(10 * BIG);
    const send = () => Promise.reject(new Error("gone"));
    await expect(streamWeights([weight("a", 0, 5 * BIG)], false, { ...needs, send })).rejects.toThrow("gone");
    expect([...open]).toEqual([]);
  });
});
