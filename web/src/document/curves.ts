/** The way a link takes: curves from end to end through the points it is led by. The same near by, from afar and in pictures. */
import type { Box } from './geometry';
import type { Point } from './model';

/** A start, and for each bend two points that pull and one that it arrives at; all as x, y. */
export type Curve = readonly number[];

const BACKWARDS = 6.25;
const LEAST = 24;

/** `via`: points on the way, each passed level. */
export function curveThrough(from: Point, to: Point, via: readonly Point[] = []): Curve {
  const stops = [...via, to];
  const found: number[] = [...from];
  let [x, y] = from;
  for (const [toX, toY] of stops) {
    const pull = via.length === 0 ? pullOf(toX - x) : Math.max(LEAST, Math.abs(toX - x) / 2);
    found.push(x + pull, y, toX - pull, toY, toX, toY);
    [x, y] = [toX, toY];
  }
  return found;
}

/** How far a link goes straight before it bends; one that leads back keeps close to its nodes. */
function pullOf(dx: number): number {
  return dx >= 0 ? dx / 2 : BACKWARDS * Math.sqrt(-dx);
}

/** For the attribute `d` of a path. */
export function pathOf(curve: Curve): string {
  const [x, y, ...rest] = curve;
  const bends = Array.from({ length: rest.length / 6 }, (_, i) => `C ${rest.slice(6 * i, 6 * i + 6).join(' ')}`);
  return `M ${x} ${y} ${bends.join(' ')}`;
}

/** The middle of the first bend. */
export function middleOf(curve: Curve): Point {
  const along = (i: 0 | 1): number => (curve[i]! + 3 * curve[i + 2]! + 3 * curve[i + 4]! + curve[i + 6]!) / 8;
  return [along(0), along(1)];
}

/** A box that it does not leave. */
export function boxOf(curve: Curve): Box {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < curve.length; i += 2) {
    left = Math.min(left, curve[i]!);
    right = Math.max(right, curve[i]!);
    top = Math.min(top, curve[i + 1]!);
    bottom = Math.max(bottom, curve[i + 1]!);
  }
  return { x: left, y: top, width: right - left, height: bottom - top };
}
