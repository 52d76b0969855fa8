/** A mask being painted: one byte a pixel, 0 keeps the picture, 255 has it redrawn. It is large, so it is changed in place. */
import type { Size, Viewport } from '../viewport';

/** Whole pixels. */
export interface Area extends Size {
  readonly x: number;
  readonly y: number;
}

export const PAINTED = 255;

export class Mask implements Size {
  constructor(
    readonly width: number,
    readonly height: number,
    readonly data: Uint8Array = new Uint8Array(width * height),
  ) {
    if (data.length !== width * height) throw new Error(`a mask of ${width}x${height} has ${width * height} pixels, not ${data.length}`);
  }

  get whole(): Area {
    return { x: 0, y: 0, width: this.width, height: this.height };
  }

  isEmpty(): boolean {
    return !this.data.some((value) => value > 0);
  }
}

/** From pixels as a canvas gives them: what is transparent is painted. */
export function maskOfPixels(size: Size, rgba: ArrayLike<number>): Mask {
  const mask = new Mask(size.width, size.height);
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = PAINTED - rgba[4 * i + 3]!;
  return mask;
}

/** Pixels for a file whose transparent part is the mask, as nodes read it. */
export function transparencyOf(mask: Mask): Uint8ClampedArray<ArrayBuffer> {
  const rgba = new Uint8ClampedArray(4 * mask.data.length);
  for (let i = 0; i < mask.data.length; i++) rgba[4 * i + 3] = PAINTED - mask.data[i]!;
  return rgba;
}

/** The part of a stage on which an area of the mask is seen; null if it is out of sight. */
export function seenOn(stage: Size, view: Viewport, area: Area): Area | null {
  const x = Math.max(0, Math.floor(view.x + area.x * view.scale));
  const y = Math.max(0, Math.floor(view.y + area.y * view.scale));
  const right = Math.min(Math.floor(stage.width), Math.ceil(view.x + (area.x + area.width) * view.scale));
  const bottom = Math.min(Math.floor(stage.height), Math.ceil(view.y + (area.y + area.height) * view.scale));
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null;
}

/** Pixels of a part of the stage that show the mask in a colour: what this takes depends on the screen, not on the picture. */
export function tinted(mask: Mask, view: Viewport, part: Area, color: readonly [number, number, number]): Uint8ClampedArray<ArrayBuffer> {
  const rgba = new Uint8ClampedArray(4 * part.width * part.height);
  const columns = Int32Array.from({ length: part.width }, (_, i) => Math.floor((part.x + i + 0.5 - view.x) / view.scale));
  const [red, green, blue] = color;
  for (let y = 0, to = 0; y < part.height; y++) {
    const row = Math.floor((part.y + y + 0.5 - view.y) / view.scale);
    const isIn = row >= 0 && row < mask.height;
    for (let x = 0; x < part.width; x++, to += 4) {
      const column = columns[x]!;
      if (!isIn || column < 0 || column >= mask.width) continue;
      rgba[to] = red;
      rgba[to + 1] = green;
      rgba[to + 2] = blue;
      rgba[to + 3] = mask.data[row * mask.width + column]!;
    }
  }
  return rgba;
}

export function fill(mask: Mask, value: number): void {
  mask.data.fill(value);
}

export function invert(mask: Mask): void {
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = PAINTED - mask.data[i]!;
}

/** Everything that can be reached from a pixel without crossing the edge of what is painted gets `value`. */
export function flood(mask: Mask, x: number, y: number, value: number): void {
  const { width, height, data } = mask;
  if (x < 0 || y < 0 || x >= width || y >= height) return;
  const isInside = data[y * width + x]! >= 128;
  const seen = new Uint8Array(data.length);
  const belongs = (at: number): boolean => seen[at] === 0 && data[at]! >= 128 === isInside;
  const waiting = [y * width + x];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (!belongs(at)) continue;
    const row = at - (at % width);
    let [left, right] = [at, at];
    while (left > row && belongs(left - 1)) left--;
    while (right < row + width - 1 && belongs(right + 1)) right++;
    for (let i = left; i <= right; i++) seen[i] = 1;
    for (const beside of [row - width, row + width]) {
      if (beside < 0 || beside >= width * height) continue;
      const by = beside - row;
      for (let i = left; i <= right; i++) if (belongs(i + by) && (i === left || !belongs(i + by - 1))) waiting.push(i + by);
    }
  }
  for (let i = 0; i < data.length; i++) if (seen[i] === 1) data[i] = value;
}

/** The inside of a closed outline, by the even-odd rule, gets `value`. A pixel is inside if its middle is. */
export function fillOutline(mask: Mask, points: readonly (readonly [number, number])[], value: number): void {
  const ys = points.map(([, y]) => y);
  const first = Math.max(0, Math.floor(Math.min(...ys)));
  const last = Math.min(mask.height - 1, Math.ceil(Math.max(...ys)));
  for (let y = first; y <= last; y++) {
    const crossings = crossingsAt(points, y + 0.5);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i]! - 0.5));
      const to = Math.min(mask.width, Math.ceil(crossings[i + 1]! - 0.5));
      if (to > from) mask.data.fill(value, y * mask.width + from, y * mask.width + to);
    }
  }
}

function crossingsAt(points: readonly (readonly [number, number])[], y: number): number[] {
  const found: number[] = [];
  points.forEach(([x1, y1], i) => {
    const [x0, y0] = points[(i + points.length - 1) % points.length]!;
    if (y0 <= y !== y1 <= y) found.push(x0 + ((y - y0) / (y1 - y0)) * (x1 - x0));
  });
  return found.sort((a, b) => a - b);
}
