/** How far away the canvas is looked at, in steps: what is drawn, and how, changes with the step alone. */
export type Distance = 'near' | 'mid' | 'far' | 'map';

export function distanceOf(zoom: number): Distance {
  if (zoom >= 0.8) return 'near';
  // a little under half, so that a template opens readable in a window of 1,000 pixels
  if (zoom >= 0.48) return 'mid';
  return zoom >= 0.2 ? 'far' : 'map';
}

/** From afar a node is a plain box with its name, and a link a thin line. */
export function isFar(distance: Distance): boolean {
  return distance === 'far' || distance === 'map';
}
