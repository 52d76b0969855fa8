/** How a picture lies on the stage it is looked at on: its corner, and how many screen pixels one of its pixels has. */
import type { Point } from './model';

export interface Viewport {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export const MOST_ZOOM = 64;
export const LEAST_ZOOM = 1 / 64;
/** from here on each pixel is drawn as a square */
export const CRISP_FROM = 2;

/** All of the picture, as large as there is room for; small ones grow to at most `most` times their size. */
export function fitted(picture: Size, stage: Size, margin = 16, most = 8): Viewport {
  const room = { width: Math.max(1, stage.width - 2 * margin), height: Math.max(1, stage.height - 2 * margin) };
  const scale = clampZoom(Math.min(room.width / picture.width, room.height / picture.height, most));
  return centred(picture, stage, scale);
}

export function centred(picture: Size, stage: Size, scale: number): Viewport {
  return { x: (stage.width - picture.width * scale) / 2, y: (stage.height - picture.height * scale) / 2, scale };
}

/** Zoomed by a factor; what is at `at` on the stage stays there. */
export function zoomedAt(view: Viewport, factor: number, at: Point): Viewport {
  const scale = clampZoom(view.scale * factor);
  const by = scale / view.scale;
  return { x: at[0] - (at[0] - view.x) * by, y: at[1] - (at[1] - view.y) * by, scale };
}

export function panned(view: Viewport, by: Point): Viewport {
  return { ...view, x: view.x + by[0], y: view.y + by[1] };
}

/** Moved as little as needed for a bit of the picture to stay in sight. */
export function inSight(view: Viewport, picture: Size, stage: Size, least = 48): Viewport {
  const keep = (at: number, length: number, room: number): number => {
    const part = Math.min(least, length, room);
    return Math.max(part - length, Math.min(room - part, at));
  };
  return {
    ...view,
    x: keep(view.x, picture.width * view.scale, stage.width),
    y: keep(view.y, picture.height * view.scale, stage.height),
  };
}

/** The place in the picture that is at a place of the stage. */
export function toPicture(view: Viewport, at: Point): Point {
  return [(at[0] - view.x) / view.scale, (at[1] - view.y) / view.scale];
}

/** Two fingers: moved, spread and both at once. */
export function pinched(view: Viewport, before: readonly [Point, Point], after: readonly [Point, Point]): Viewport {
  const middle = ([a, b]: readonly [Point, Point]): Point => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const apart = ([a, b]: readonly [Point, Point]): number => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
  const [from, to] = [middle(before), middle(after)];
  return panned(zoomedAt(view, apart(after) / apart(before), from), [to[0] - from[0], to[1] - from[1]]);
}

function clampZoom(scale: number): number {
  return Math.max(LEAST_ZOOM, Math.min(MOST_ZOOM, scale));
}
