import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boxOf, curveThrough, middleOf, pathOf } from '../src/document/curves';
import type { Point } from '../src/document/model';
import { broken } from '../src/view/far/labels';

const point: fc.Arbitrary<Point> = fc.tuple(fc.integer({ min: -5000, max: 5000 }), fc.integer({ min: -5000, max: 5000 }));

describe('the way of a link', () => {
  it('passes all its points, in order, and stays in its box', () => {
    fc.assert(
      fc.property(point, point, fc.array(point, { maxLength: 4 }), (from, to, via) => {
        const curve = curveThrough(from, to, via);
        const stops = Array.from({ length: via.length + 2 }, (_, i) => curve.slice(6 * i, 6 * i + 2));
        expect(stops).toEqual([from, ...via, to]);
        const box = boxOf(curve);
        const inside = ([x, y]: readonly number[]): boolean =>
          x! >= box.x && x! <= box.x + box.width && y! >= box.y && y! <= box.y + box.height;
        expect([...stops, middleOf(curve)].filter((one) => !inside(one))).toEqual([]);
      }),
    );
  });

  it('leaves to the right and arrives from the left, also when it leads back', () => {
    for (const to of [
      [300, 40],
      [-300, 40],
    ] as const) {
      const [x, , pull, , arrive] = curveThrough([0, 0], to);
      expect(pull).toBeGreaterThan(x!);
      expect(arrive).toBeLessThan(to[0]);
    }
  });

  it('is written as a path', () => {
    expect(pathOf(curveThrough([0, 0], [100, 50]))).toBe('M 0 0 C 50 0 50 50 100 50');
    expect(pathOf(curveThrough([0, 0], [100, 0], [[50, 9]]))).toBe('M 0 0 C 25 0 25 9 50 9 C 75 9 75 0 100 0');
  });
});

describe('names in boxes', () => {
  const lines = (text: string, room: number, most: number): string[] => broken([...text], () => 1, room, most);

  it('are broken at spaces, within long words, and cut where there is no more room', () => {
    expect(lines('VAE Decode', 20, 3)).toEqual(['VAE Decode']);
    expect(lines('VAE Decode', 6, 3)).toEqual(['VAE', 'Decode']);
    expect(lines('Checkpoint', 6, 3)).toEqual(['Checkp', 'oint']);
    expect(lines('a long name of many words', 6, 2)).toEqual(['a long', 'name…']);
    expect(lines('', 6, 2)).toEqual([]);
  });

  it('never get wider or more than there is room, and end in time', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5 }), (text, room, most) => {
        const found = lines(text, room, most);
        expect(found.length).toBeLessThanOrEqual(most);
        for (const line of found) expect([...line].length).toBeLessThanOrEqual(Math.max(2, room));
      }),
    );
  });
});
