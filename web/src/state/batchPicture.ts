/** All pictures of a batch as one, with the values beside them. */
import { type GridText, gridLayout } from '../document/gridPicture';
import { attempt } from './actions';
import type { Batch, BatchCell } from './batches';
import { download } from './exports';

const LARGEST_CELL = 1024;
const LARGEST_SIDE = 8192;
const MOST_PIXELS = 32e6;
const FONT = 'Inter, "Segoe UI", system-ui, "DejaVu Sans", sans-serif';
const FONTS: Readonly<Record<GridText['kind'], string>> = { title: `600 16px ${FONT}`, name: `600 13px ${FONT}`, value: `13px ${FONT}` };

export async function saveGrid(batch: Batch): Promise<void> {
  const plain = batch.title.replace(/[^\p{L}\p{N} ._-]/gu, '_').trim() || 'batch';
  await attempt(async () => download(`${plain} grid.png`, await drawGrid(batch)));
}

/** Raises Error where there is nothing to draw, or the browser has no room for it. */
async function drawGrid(batch: Batch): Promise<Blob> {
  const pictures = new Map<BatchCell, ImageBitmap>();
  for (const cell of batch.cells) {
    const picture = cell.pictures[0] === undefined ? null : await bitmapOf(cell.pictures[0].url);
    if (picture !== null) pictures.set(cell, picture);
  }
  if (pictures.size === 0) throw new Error('There is no picture in this batch yet.');
  const sizes = [...pictures.values()];
  const shrink = Math.min(1, LARGEST_CELL / Math.max(...sizes.map((one) => Math.max(one.width, one.height))));
  const size = {
    width: Math.max(96, Math.round(Math.max(...sizes.map((one) => one.width)) * shrink)),
    height: Math.max(96, Math.round(Math.max(...sizes.map((one) => one.height)) * shrink)),
  };
  const axes = batch.axes.map((axis) => ({ name: axis.input.replaceAll('_', ' '), values: axis.values.map(String) }));
  const layout = gridLayout(batch.title, axes, size);
  const scale = Math.min(1, LARGEST_SIDE / Math.max(layout.width, layout.height), Math.sqrt(MOST_PIXELS / (layout.width * layout.height)));
  const canvas = Object.assign(document.createElement('canvas'), {
    width: Math.ceil(layout.width * scale),
    height: Math.ceil(layout.height * scale),
  });
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('This browser has no room for a picture of this size.');
  const color = colorsOf();
  context.fillStyle = color('back');
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(scale, scale);
  context.imageSmoothingQuality = 'high';
  for (const { place, x, y } of layout.cells) {
    const cell = batch.cells.find((one) => one.place.every((at, i) => at === place[i]));
    const picture = cell && pictures.get(cell);
    context.fillStyle = color('field');
    context.fillRect(x, y, size.width, size.height);
    if (picture !== undefined) drawWithin(context, picture, { x, y, ...size });
    else if (cell !== undefined) {
      const text = {
        text: cell.status,
        x: x + size.width / 2,
        y: y + size.height / 2,
        room: size.width - 8,
        align: 'center',
        kind: 'value',
      } as const;
      write(context, text, color('dim'));
    }
  }
  for (const text of layout.texts) write(context, text, color(text.kind === 'name' ? 'dim' : 'text'));
  for (const picture of sizes) picture.close();
  return await new Promise((resolve, reject) => {
    const failed = new Error('This browser could not write the picture.');
    canvas.toBlob((blob) => (blob === null ? reject(failed) : resolve(blob)), 'image/png');
  });
}

async function bitmapOf(url: string): Promise<ImageBitmap | null> {
  try {
    return await createImageBitmap(await (await fetch(url)).blob());
  } catch {
    return null;
  }
}

function colorsOf(): (name: string) => string {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim() || '#888';
}

function drawWithin(
  context: CanvasRenderingContext2D,
  picture: ImageBitmap,
  box: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
): void {
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  context.drawImage(picture, box.x + (box.width - width) / 2, box.y + (box.height - height) / 2, width, height);
}

/** In one line, cut where there is no room for more. */
function write(context: CanvasRenderingContext2D, { text, x, y, room, align, kind }: GridText, color: string): void {
  context.font = FONTS[kind];
  context.fillStyle = color;
  context.textAlign = align;
  context.textBaseline = 'middle';
  let shown = text.replaceAll(/\s+/g, ' ').slice(0, 300);
  while (shown.length > 1 && context.measureText(shown).width > room) shown = `${shown.slice(0, Math.floor(shown.length * 0.9) - 1)}…`;
  context.fillText(shown, x, y);
}
