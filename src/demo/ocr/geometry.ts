import type { Point } from "./picture.ts";

/** A rectangle that may be turned: `angle` is that of its width, in radians, clockwise on a screen. */
export interface TurnedRectangle {
  readonly centre: Point;
  readonly width: number;
  readonly height: number;
  readonly angle: number;
}

/** Andrew's monotone chain: the corners of the convex hull, in order. */
export function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  if (sorted.length < 3) return sorted;
  const lower = chain(sorted);
  const upper = chain(sorted.reverse());
  return [...lower.slice(0, -1), ...upper.slice(0, -1)];
}

function chain(sorted: readonly Point[]): Point[] {
  const kept: Point[] = [];
  for (const point of sorted) {
    while (kept.length >= 2 && turn(kept.at(-2) as Point, kept.at(-1) as Point, point) <= 0) kept.pop();
    kept.push(point);
  }
  return kept;
}

function turn(a: Point, b: Point, c: Point): number {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

/** The turned rectangle of least area around a convex hull: one of its sides lies on a side of the hull. */
export function leastRectangle(hull: readonly Point[]): TurnedRectangle {
  let best: TurnedRectangle | null = null;
  for (const [index, from] of hull.entries()) {
    const to = hull[(index + 1) % hull.length] ?? from;
    const rectangle = rectangleAlong(hull, Math.atan2(to.y - from.y, to.x - from.x));
    if (best === null || rectangle.width * rectangle.height < best.width * best.height) best = rectangle;
  }
  return upright(best ?? { centre: { x: 0, y: 0 }, width: 0, height: 0, angle: 0 });
}

function rectangleAlong(hull: readonly Point[], angle: number): TurnedRectangle {
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { x, y } of hull) {
    const along = x * cos + y * sin;
    const across = y * cos - x * sin;
    left = Math.min(left, along);
    right = Math.max(right, along);
    top = Math.min(top, across);
    bottom = Math.max(bottom, across);
  }
  const along = (left + right) / 2;
  const across = (top + bottom) / 2;
  const centre = { x: along * cos - across * sin, y: along * sin + across * cos };
  return { centre, width: right - left, height: bottom - top, angle };
}

/** Turns the names of the sides by quarters until the angle is at most 45°: text is read from left to right. */
function upright({ centre, width, height, angle }: TurnedRectangle): TurnedRectangle {
  const quarters = Math.round(angle / (Math.PI / 2));
  const rest = angle - quarters * (Math.PI / 2);
  return quarters % 2 === 0
    ? { centre, width, height, angle: rest }
    : { centre, width: height, height: width, angle: rest };
}

/** The point of the picture that lies (x, y) from the rectangle's top left corner, along its sides. */
export function pointIn(rectangle: TurnedRectangle, x: number, y: number): Point {
  const along = x - rectangle.width / 2;
  const across = y - rectangle.height / 2;
  const cos = Math.cos(rectangle.angle);
  const sin = Math.sin(rectangle.angle);
  return { x: rectangle.centre.x + along * cos - across * sin, y: rectangle.centre.y + along * sin + across * cos };
}

/** Clockwise from the top left corner. */
export function cornersOf(rectangle: TurnedRectangle): readonly [Point, Point, Point, Point] {
  const { width, height } = rectangle;
  return [
    pointIn(rectangle, 0, 0),
    pointIn(rectangle, width, 0),
    pointIn(rectangle, width, height),
    pointIn(rectangle, 0, height),
  ];
}
