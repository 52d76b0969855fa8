/** Names broken into lines. Widths are added up letter by letter, each measured once: zooming changes the room of all names in every frame. */

const FONT = 'Inter, "Segoe UI", system-ui, "DejaVu Sans", sans-serif';
const LONGEST = 120;
const MEASURED_AT = 100;
/** at size 1, by letter */
const WIDTHS = new Map<string, number>();

export function fontOf(size: number): string {
  return `600 ${size}px ${FONT}`;
}

function widthOf(context: CanvasRenderingContext2D, letter: string): number {
  let width = WIDTHS.get(letter);
  if (width === undefined) {
    context.font = fontOf(MEASURED_AT);
    width = context.measureText(letter).width / MEASURED_AT;
    WIDTHS.set(letter, width);
  }
  return width;
}

/** `room` and `most`: how wide lines may be, at size 1, and how many there may be; what does not fit ends in an ellipsis. */
export function linesOf(context: CanvasRenderingContext2D, text: string, room: number, most: number): string[] {
  return broken([...text.slice(0, LONGEST)], (letter) => widthOf(context, letter), room, most);
}

/** Broken at spaces, and within a word that is longer than a line. */
export function broken(letters: readonly string[], widthOf: (letter: string) => number, room: number, most: number): string[] {
  const found: string[] = [];
  let [start, space, wide] = [0, -1, 0];
  for (let i = 0; i < letters.length; i++) {
    const letter = letters[i]!;
    if (letter === ' ') space = i;
    wide += widthOf(letter);
    if (wide <= room || i === start) continue;
    if (found.length === most - 1)
      return [
        ...found,
        `${letters
          .slice(start, Math.max(start + 1, i - 1))
          .join('')
          .trimEnd()}…`,
      ];
    const end = space > start ? space : i;
    found.push(letters.slice(start, end).join(''));
    start = space > start ? space + 1 : i;
    space = -1;
    wide = 0;
    for (let j = start; j <= i; j++) wide += widthOf(letters[j]!);
  }
  const rest = letters.slice(start).join('');
  return rest.trim() === '' ? found : [...found, rest];
}
