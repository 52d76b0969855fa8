/** The colours offered for nodes and groups; the theme decides how light they are drawn, so that text on them can be read. */
export interface Swatch {
  readonly name: string;
  readonly color: string;
}

export const SWATCHES: readonly Swatch[] = [
  { name: 'Red', color: '#a8434b' },
  { name: 'Orange', color: '#a86a32' },
  { name: 'Yellow', color: '#94863a' },
  { name: 'Green', color: '#4f8a4c' },
  { name: 'Teal', color: '#3a8a86' },
  { name: 'Blue', color: '#4a6fa5' },
  { name: 'Violet', color: '#7a5aa6' },
  { name: 'Pink', color: '#a6528a' },
];

/** A colour of a file that can be drawn; anything else in its place is none. */
export function drawable(color: string | undefined): string | undefined {
  return color !== undefined && /^#(?:[0-9a-f]{3}|[0-9a-f]{6})$/i.test(color) ? color : undefined;
}
