import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { areaOf, type Brush, coverage, type Dab, pressed, resized, stroke } from '../src/document/painting/brush';
import { fill, fillOutline, flood, invert, Mask, maskOfPixels, seenOn, tinted, transparencyOf } from '../src/document/painting/mask';
import { paintedName } from '../src/document/painting/names';
import { Painting } from '../src/document/painting/painting';

const HARD: Brush = { hardness: 1, erase: false };
const SOFT: Brush = { hardness: 0.2, erase: false };

function paint(mask: Mask, from: Dab, to: Dab, brush: Brush): void {
  const area = areaOf(from, to, mask);
  if (area !== null) stroke(mask, from, to, brush, area);
}

function sum(mask: Mask): number {
  return mask.data.reduce((total, value) => total + value, 0) / 255;
}

/** Comparing large arrays with `toEqual` takes seconds. */
function isSame(one: Uint8Array, other: Uint8Array | undefined): boolean {
  return other !== undefined && one.length === other.length && one.every((value, i) => value === other[i]);
}

const dab = fc.record({
  x: fc.integer({ min: -20, max: 120 }),
  y: fc.integer({ min: -20, max: 120 }),
  radius: fc.integer({ min: 1, max: 30 }),
});
const brush = fc.record({ hardness: fc.constantFrom(0, 0.3, 0.8, 1), erase: fc.boolean() });

describe('the brush', () => {
  it('covers the middle, nothing outside, and less and less between', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.double({ min: 0, max: 1, noNaN: true }), (radius, hardness) => {
        expect(coverage(0, radius, hardness)).toBe(1);
        expect(coverage(radius + 0.5, radius, hardness)).toBe(0);
        const values = Array.from({ length: 40 }, (_, i) => coverage((i * (radius + 1)) / 39, radius, hardness));
        expect([...values].sort((a, b) => b - a)).toEqual(values);
      }),
    );
  });

  it('paints a disc of the right size, and a line of the right size', () => {
    const mask = new Mask(100, 100);
    paint(mask, { x: 50, y: 50, radius: 20 }, { x: 50, y: 50, radius: 20 }, HARD);
    expect(sum(mask)).toBeCloseTo(Math.PI * 400, -1);
    const line = new Mask(200, 60);
    paint(line, { x: 40, y: 30, radius: 10 }, { x: 140, y: 30, radius: 10 }, HARD);
    expect(sum(line)).toBeCloseTo(100 * 20 + Math.PI * 100, -1);
  });

  it('changes nothing outside the area it tells', () => {
    fc.assert(
      fc.property(dab, dab, brush, (from, to, how) => {
        const mask = new Mask(100, 100);
        fill(mask, how.erase ? 255 : 0);
        const before = mask.data.slice();
        const area = areaOf(from, to, mask);
        if (area === null) return;
        expect(area.x >= 0 && area.y >= 0 && area.x + area.width <= 100 && area.y + area.height <= 100).toBe(true);
        stroke(mask, from, to, how, mask.whole);
        const outside = mask.data.findIndex((value, i) => {
          const [x, y] = [i % 100, Math.floor(i / 100)];
          const isIn = x >= area.x && y >= area.y && x < area.x + area.width && y < area.y + area.height;
          return !isIn && value !== before[i];
        });
        expect(outside).toBe(-1);
      }),
      { numRuns: 40 },
    );
  });

  it('is the same however often a way is gone, and in however many pieces', () => {
    const [once, twice] = [new Mask(120, 40), new Mask(120, 40)];
    const [from, to] = [
      { x: 20, y: 20, radius: 12 },
      { x: 100, y: 20, radius: 12 },
    ];
    paint(once, from, to, SOFT);
    for (let i = 0; i < 10; i++) paint(twice, { ...from, x: 20 + 8 * i }, { ...from, x: 28 + 8 * i }, SOFT);
    paint(twice, to, from, SOFT);
    expect(isSame(twice.data, once.data)).toBe(true);
  });

  it('erases what it painted', () => {
    const mask = new Mask(60, 60);
    const at = { x: 30, y: 30, radius: 15 };
    paint(mask, at, at, HARD);
    paint(mask, at, { ...at, x: 31 }, { hardness: 1, erase: true });
    paint(mask, { ...at, radius: 17 }, { ...at, radius: 17 }, { hardness: 1, erase: true });
    expect(mask.isEmpty()).toBe(true);
  });

  it('gets larger and smaller by steps, within limits', () => {
    expect(resized(10, 1)).toBe(11.5);
    expect(resized(1, 1)).toBe(2);
    expect(resized(resized(40, 1), -1)).toBeCloseTo(40);
    expect(resized(0.5, -1)).toBe(0.5);
    expect(resized(1024, 1)).toBe(1024);
    expect(pressed(20, 0, false)).toBe(20);
    expect(pressed(20, 1, true)).toBe(20);
    expect(pressed(20, 0.1, true)).toBeLessThan(6);
  });
});

describe('a mask', () => {
  it('is the transparent part of a file, and comes back from it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 12 }), (data) => {
        const mask = new Mask(4, 3, data);
        expect(isSame(maskOfPixels(mask, transparencyOf(mask)).data, data)).toBe(true);
      }),
    );
  });

  it('is shown in a colour, as large as it is looked at', () => {
    const mask = new Mask(3, 2, Uint8Array.from([0, 1, 2, 3, 4, 5]));
    const alphas = (pixels: Uint8ClampedArray): number[] => [...pixels].filter((_, i) => i % 4 === 3);
    const stage = { width: 10, height: 10 };
    const twice = { x: 1, y: 0, scale: 2 };
    const part = seenOn(stage, twice, { x: 1, y: 0, width: 2, height: 2 })!;
    expect(part).toEqual({ x: 3, y: 0, width: 4, height: 4 });
    expect(alphas(tinted(mask, twice, part, [9, 8, 7]))).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 4, 4, 5, 5, 4, 4, 5, 5]);
    expect([...tinted(mask, twice, { x: 5, y: 2, width: 1, height: 1 }, [9, 8, 7])]).toEqual([9, 8, 7, 5]);
    expect([...tinted(mask, twice, { x: 0, y: 0, width: 1, height: 1 }, [9, 8, 7])]).toEqual([0, 0, 0, 0]);
    expect(seenOn(stage, { x: -20, y: 0, scale: 1 }, mask.whole)).toBeNull();
    expect(seenOn(stage, { x: -2, y: 8, scale: 4 }, mask.whole)).toEqual({ x: 0, y: 8, width: 10, height: 2 });
  });

  it('inverted twice is what it was', () => {
    const mask = new Mask(2, 2, Uint8Array.from([0, 1, 200, 255]));
    invert(mask);
    expect([...mask.data]).toEqual([255, 254, 55, 0]);
    invert(mask);
    expect([...mask.data]).toEqual([0, 1, 200, 255]);
  });

  it('is filled up to the edge of what is painted', () => {
    const rows = ['.......', '.#####.', '.#...#.', '.#.#.#.', '.#####.', '.......'];
    const mask = new Mask(
      7,
      6,
      Uint8Array.from(rows.join('').split(''), (sign) => (sign === '#' ? 255 : 0)),
    );
    flood(mask, 2, 2, 255);
    expect(sum(mask)).toBe(5 * 4);
    flood(mask, 3, 3, 0);
    expect(mask.isEmpty()).toBe(true);
    flood(mask, -1, 0, 255);
    expect(mask.isEmpty()).toBe(true);
    flood(mask, 0, 0, 255);
    expect(sum(mask)).toBe(42);
  });

  it('is filled inside an outline', () => {
    const mask = new Mask(50, 50);
    fillOutline(mask, [[10, 10], [30, 10], [30, 40], [10, 40]], 255); // biome-ignore format: a box
    expect(sum(mask)).toBe(20 * 30);
    fillOutline(mask, [[-100, -100], [100, -100], [100, 100], [-100, 100]], 0); // biome-ignore format: a box
    expect(mask.isEmpty()).toBe(true);
    fillOutline(mask, [[0, 0], [50, 0], [0, 50]], 255); // biome-ignore format: a triangle
    expect(sum(mask)).toBeCloseTo(1250, -2);
    fillOutline(mask, [], 0);
    fillOutline(mask, [[5, 5]], 0); // biome-ignore format: a point
    expect(sum(mask)).toBeCloseTo(1250, -2);
  });

  it('gives files names by what they hold', () => {
    const [one, other] = [new Mask(4, 4), new Mask(4, 4)];
    other.data[3] = 1;
    const name = paintedName('sub/cat.photo.jpg', one);
    expect(name).toMatch(/^cat\.photo-mask-[0-9a-f]{8}\.png$/);
    expect(paintedName(`painted/${name}`, one)).toBe(name);
    expect(paintedName(`painted/${name.replace('.png', ' (2).png')}`, one)).toBe(name);
    expect(paintedName(name, other)).not.toBe(name);
    expect(paintedName('x.png', new Mask(2, 8))).not.toBe(paintedName('x.png', new Mask(8, 2)));
    expect(paintedName('.png', one)).toMatch(/^picture-mask-/);
  });
});

describe('undo of painting', () => {
  const act = fc.oneof(
    fc.record({ kind: fc.constant('stroke' as const), from: dab, to: dab, brush }),
    fc.record({ kind: fc.constant('fill' as const), value: fc.constantFrom(0, 255) }),
    fc.record({ kind: fc.constant('invert' as const) }),
  );

  it('takes everything back, and gives it all again', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 12 }), (acts) => {
        const painting = new Painting(new Mask(110, 70));
        const states = [painting.mask.data.slice()];
        for (const one of acts) {
          if (one.kind === 'stroke') {
            const area = areaOf(one.from, one.to, painting.mask);
            if (area !== null) painting.change(area, () => stroke(painting.mask, one.from, one.to, one.brush, area));
          } else {
            painting.change(painting.mask.whole, () => (one.kind === 'fill' ? fill(painting.mask, one.value) : invert(painting.mask)));
          }
          if (painting.finish()) states.push(painting.mask.data.slice());
        }
        for (let i = states.length - 2; i >= 0; i--) {
          expect(painting.undo()).not.toBeNull();
          expect(isSame(painting.mask.data, states[i])).toBe(true);
        }
        expect(painting.canUndo).toBe(false);
        expect(painting.undo()).toBeNull();
        for (let i = 1; i < states.length; i++) {
          painting.redo();
          expect(isSame(painting.mask.data, states[i])).toBe(true);
        }
        expect(painting.canRedo).toBe(false);
      }),
      { numRuns: 30 },
    );
  });

  it('drops a stroke that was broken off', () => {
    const painting = new Painting(new Mask(80, 80));
    painting.change(painting.mask.whole, () => fill(painting.mask, 255));
    expect(painting.drop()).toEqual({ x: 0, y: 0, width: 80, height: 80 });
    expect(painting.mask.isEmpty()).toBe(true);
    expect(painting.finish()).toBe(false);
  });

  it('keeps within its memory, the last step always', () => {
    const painting = new Painting(new Mask(256, 256), 3 * 2 * 256 * 256);
    for (let i = 0; i < 10; i++) {
      painting.change(painting.mask.whole, () => invert(painting.mask));
      painting.finish();
    }
    let count = 0;
    while (painting.undo() !== null) count++;
    expect(count).toBe(3);
    const tight = new Painting(new Mask(256, 256), 1);
    tight.change(tight.mask.whole, () => invert(tight.mask));
    tight.finish();
    expect(tight.undo()).not.toBeNull();
  });
});
