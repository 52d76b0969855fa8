/** The colours of the theme, as a canvas takes them. */

export interface Ink {
  readonly theme: string | undefined;
  readonly box: string;
  readonly line: string;
  readonly frame: string;
  /** how opaque the inside of a frame is */
  readonly veil: number;
  readonly text: string;
  readonly dim: string;
  readonly accent: string;
  readonly wrong: string;
  readonly good: string;
  readonly map: string;
  /** a node's own colour, as light as the theme needs it */
  readonly tint: (color: string) => string;
}

let kept: Ink | null = null;

/** Read from the page once for each theme. */
export function currentInk(): Ink {
  const { theme } = document.documentElement.dataset;
  if (kept === null || kept.theme !== theme) kept = readInk(theme);
  return kept;
}

function readInk(theme: string | undefined): Ink {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim() || '#888';
  const tints = new Map<string, string>();
  const light = read('node-l');
  return {
    theme,
    box: read('far-box'),
    line: read('far-line'),
    frame: '#5b6472',
    veil: 0.12,
    text: read('text'),
    dim: read('dim'),
    accent: read('accent'),
    wrong: read('wrong'),
    good: read('good'),
    map: read('map'),
    tint: (color) => {
      const found = tints.get(color) ?? `oklch(from ${color} ${light} min(c, 0.07) h)`;
      tints.set(color, found);
      return found;
    },
  };
}
