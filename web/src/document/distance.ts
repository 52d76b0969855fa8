/** How far away the canvas is looked at, in steps: what is drawn, and how large letters are, changes with the step alone. */
export type Distance = 'near' | 'mid' | 'far' | 'farther' | 'map';

export function distanceOf(zoom: number): Distance {
  if (zoom >= 0.8) return 'near';
  if (zoom >= 0.5) return 'mid';
  if (zoom >= 0.24) return 'far';
  return zoom >= 0.1 ? 'farther' : 'map';
}
