/**
 * Token ids in pieces, in order. A list is never changed; what is appended is copied together with short pieces before
 * it, so that each piece is at most half as long as the one before: n ids are copied about log n times, not n times.
 */
export type IdList = readonly (readonly number[])[];

export function idCount(list: IdList): number {
  return list.reduce((sum, { length }) => sum + length, 0);
}

/** The first `base` ids of the list, then `ids`. */
export function appendIds(list: IdList, base: number, ids: readonly number[]): IdList {
  const pieces = firstIds(list, base);
  if (ids.length === 0) return pieces;
  let piece = ids;
  for (let last = pieces.at(-1); last !== undefined && last.length < 2 * piece.length; last = pieces.at(-1)) {
    pieces.pop();
    piece = last.concat(piece);
  }
  pieces.push(piece);
  return pieces;
}

function firstIds(list: IdList, count: number): (readonly number[])[] {
  const pieces: (readonly number[])[] = [];
  let left = count;
  for (const piece of list) {
    if (left <= 0) break;
    pieces.push(piece.length <= left ? piece : piece.slice(0, left));
    left -= piece.length;
  }
  return pieces;
}
