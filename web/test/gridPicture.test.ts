/** Pictures of a batch on one picture: none over another, and each beside its values. */
import { describe, expect, it } from 'vitest';
import { type GridAxis, type GridLayout, gridLayout } from '../src/document/gridPicture';

const axis = (name: string, count: number): GridAxis => ({ name, values: Array.from({ length: count }, (_, i) => `${name}${i}`) });
const SIZE = { width: 100, height: 80 };

function isSound({ width, height, cells, texts }: GridLayout): void {
  for (const [i, one] of cells.entries()) {
    expect(one.x).toBeGreaterThanOrEqual(0);
    expect(one.x + SIZE.width).toBeLessThanOrEqual(width);
    expect(one.y + SIZE.height).toBeLessThanOrEqual(height);
    for (const other of cells.slice(0, i)) {
      expect(Math.abs(one.x - other.x) >= SIZE.width || Math.abs(one.y - other.y) >= SIZE.height).toBe(true);
    }
  }
  for (const text of texts) expect(text.y).toBeLessThan(height);
}

describe('a grid as one picture', () => {
  it('wraps one axis into a block, each picture with its value below', () => {
    const layout = gridLayout('t', [axis('seed', 7)], SIZE);
    isSound(layout);
    expect(layout.cells).toHaveLength(7);
    expect(layout.width / layout.height).toBeGreaterThan(0.6);
    expect(layout.width / layout.height).toBeLessThan(1.7);
    const [cell] = layout.cells;
    const caption = layout.texts.find((text) => text.text === 'seed seed0')!;
    expect(caption.y).toBeGreaterThan(cell!.y + SIZE.height);
    expect(caption.x).toBe(cell!.x + SIZE.width / 2);
  });

  it('has columns, rows and sheets, with a value at each', () => {
    const layout = gridLayout('t', [axis('a', 3), axis('b', 2), axis('c', 2)], SIZE);
    isSound(layout);
    expect(layout.cells).toHaveLength(12);
    const cell = layout.cells.find((one) => one.place.join() === '2,1,1')!;
    const column = layout.texts.filter((text) => text.text === 'a2');
    const row = layout.texts.filter((text) => text.text === 'b1');
    expect(column).toHaveLength(2);
    expect(column[1]!.x).toBe(cell.x + SIZE.width / 2);
    expect(row[1]!.y).toBe(cell.y + SIZE.height / 2);
    expect(layout.texts.map((text) => text.text)).toContain('c c1');
  });
});
