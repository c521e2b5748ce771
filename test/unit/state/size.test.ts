import { expect, it } from "vitest";
import { sizeOf } from "../../../src/state/size.ts";

it.each<[unknown, number]>([
  ["abc", 6],
  [[1, 2, 3], 24],
  [[], 0],
  [[[1, 2], [3]], 24],
  [{ ab: [1], c: "d" }, 4 + 8 + 2 + 2],
  [new Uint8Array(5), 5],
  [null, 8],
  [[{ a: 1 }, { a: 2 }], 20],
])("%j takes about %i bytes", (data, bytes) => {
  expect(sizeOf(data)).toBe(bytes);
});
