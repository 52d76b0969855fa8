/** How the pictures of a batch stand on one large picture: columns, rows and sheets, each with its value. */

export interface GridAxis {
  readonly name: string;
  readonly values: readonly string[];
}

export interface GridCell {
  /** of its value on each axis */
  readonly place: readonly number[];
  readonly x: number;
  readonly y: number;
}

export interface GridText {
  readonly text: string;
  readonly x: number;
  readonly y: number;
  /** the most it may take */
  readonly room: number;
  readonly align: 'left' | 'center' | 'right';
  readonly kind: 'title' | 'name' | 'value';
}

export interface GridLayout {
  readonly width: number;
  readonly height: number;
  readonly cells: readonly GridCell[];
  readonly texts: readonly GridText[];
}

const MARGIN = 24;
const GAP = 8;
const LINE = 28;
const LABEL = 160;

/** `size`: of one picture. One axis alone is wrapped into a block that is about as wide as high. */
export function gridLayout(
  title: string,
  axes: readonly GridAxis[],
  size: { readonly width: number; readonly height: number },
): GridLayout {
  const [columns, rows, sheets] = axes as readonly [GridAxis, GridAxis | undefined, GridAxis | undefined];
  const cells: GridCell[] = [];
  const texts: GridText[] = [];
  const wide = rows === undefined ? wrapAt(columns.values.length, size) : columns.values.length;
  const left = rows === undefined ? MARGIN : MARGIN + LABEL + GAP;
  const right = left + wide * (size.width + GAP) - GAP;
  const at = (i: number): number => left + i * (size.width + GAP);
  const middle = (i: number): number => at(i) + size.width / 2;
  let y = MARGIN + LINE;
  texts.push({ text: title, x: MARGIN, y: MARGIN + LINE / 2, room: right - MARGIN, align: 'left', kind: 'title' });
  if (rows === undefined) {
    columns.values.forEach((value, i) => {
      const [column, row] = [i % wide, Math.floor(i / wide)];
      const top = y + row * (size.height + LINE + GAP);
      cells.push({ place: [i], x: at(column), y: top });
      const text = `${columns.name} ${value}`;
      texts.push({ text, x: middle(column), y: top + size.height + LINE / 2, room: size.width, align: 'center', kind: 'value' });
    });
    y += Math.ceil(columns.values.length / wide) * (size.height + LINE + GAP) - GAP;
    return { width: right + MARGIN, height: y + MARGIN, cells, texts };
  }
  for (const [sheet, name] of (sheets?.values ?? ['']).entries()) {
    if (sheets !== undefined) {
      texts.push({ text: `${sheets.name} ${name}`, x: MARGIN, y: y + LINE / 2, room: right - MARGIN, align: 'left', kind: 'title' });
      y += LINE;
    }
    texts.push({ text: columns.name, x: (left + right) / 2, y: y + LINE / 2, room: right - left, align: 'center', kind: 'name' });
    y += LINE;
    texts.push({ text: rows.name, x: MARGIN + LABEL, y: y + LINE / 2, room: LABEL, align: 'right', kind: 'name' });
    columns.values.forEach((value, i) => {
      texts.push({ text: value, x: middle(i), y: y + LINE / 2, room: size.width, align: 'center', kind: 'value' });
    });
    y += LINE;
    rows.values.forEach((value, row) => {
      const text = { text: value, x: MARGIN + LABEL, y: y + size.height / 2, room: LABEL, align: 'right', kind: 'value' } as const;
      texts.push(text);
      columns.values.forEach((_, i) => {
        cells.push({ place: sheets === undefined ? [i, row] : [i, row, sheet], x: at(i), y });
      });
      y += size.height + GAP;
    });
    y += MARGIN - GAP;
  }
  return { width: right + MARGIN, height: y, cells, texts };
}

function wrapAt(count: number, size: { readonly width: number; readonly height: number }): number {
  return Math.max(1, Math.min(count, Math.ceil(Math.sqrt((count * (size.height + LINE)) / size.width))));
}
