/**
 * A stroke is the union of what the brush covers at every point of its way. So a soft edge stays soft however slowly one paints,
 * and going over a place twice changes nothing.
 */
import type { Size } from '../viewport';
import { type Area, type Mask, PAINTED } from './mask';

/** hardness: from 0, soft from the middle on, to 1, an edge of one pixel */
export interface Brush {
  readonly hardness: number;
  readonly erase: boolean;
}

/** The brush at one place, in pixels of the picture; pressure may change its size on the way. */
export interface Dab {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

export const SMALLEST = 0.5;
export const LARGEST = 1024;
const HALF = 0.5;

/** How much of a pixel is covered whose middle is `distance` from the middle of the brush: 0 to 1. */
export function coverage(distance: number, radius: number, hardness: number): number {
  const outer = radius + HALF;
  const inner = Math.max(0, Math.min(radius * hardness, radius - HALF));
  if (distance <= inner) return 1;
  if (distance >= outer) return 0;
  const t = (outer - distance) / (outer - inner);
  return t * t * (3 - 2 * t);
}

/** The pixels that the way from one dab to the next can touch; null if that is beside the picture. */
export function areaOf(from: Dab, to: Dab, size: Size): Area | null {
  const reach = Math.max(from.radius, to.radius) + 1;
  const x = Math.max(0, Math.floor(Math.min(from.x, to.x) - reach));
  const y = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach));
  const right = Math.min(size.width, Math.ceil(Math.max(from.x, to.x) + reach));
  const bottom = Math.min(size.height, Math.ceil(Math.max(from.y, to.y) + reach));
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null;
}

/** Paints, or erases, along the line between two dabs. `area`: of them, from `areaOf`. */
export function stroke(mask: Mask, from: Dab, to: Dab, brush: Brush, area: Area): void {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const reach = Math.max(from.radius, to.radius) + HALF;
  for (let y = area.y; y < area.y + area.height; y++) {
    const py = y + HALF - from.y;
    for (let x = area.x; x < area.x + area.width; x++) {
      const px = x + HALF - from.x;
      const t = length === 0 ? 0 : Math.max(0, Math.min(1, (px * dx + py * dy) / length));
      const [ex, ey] = [px - t * dx, py - t * dy];
      const square = ex * ex + ey * ey;
      if (square >= reach * reach) continue;
      const radius = from.radius + t * (to.radius - from.radius);
      put(mask, y * mask.width + x, Math.round(PAINTED * coverage(Math.sqrt(square), radius, brush.hardness)), brush.erase);
    }
  }
}

function put(mask: Mask, at: number, value: number, erase: boolean): void {
  const now = mask.data[at]!;
  if (erase) mask.data[at] = Math.min(now, PAINTED - value);
  else mask.data[at] = Math.max(now, value);
}

/** The next size on pressing a key: about a sixth more or less, and never less than a pixel apart. */
export function resized(radius: number, by: 1 | -1): number {
  const next = by > 0 ? Math.max(radius + 1, radius * 1.15) : Math.min(radius - 1, radius / 1.15);
  return Math.max(SMALLEST, Math.min(LARGEST, Math.round(next * 2) / 2));
}

/** A pen's pressure makes the brush thinner; a mouse always presses fully. */
export function pressed(radius: number, pressure: number, isPen: boolean): number {
  return isPen ? Math.max(SMALLEST, radius * (0.15 + 0.85 * Math.min(1, Math.max(0, pressure)))) : radius;
}
