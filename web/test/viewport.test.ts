import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { centred, fitted, inSight, pinched, toPicture, zoomedAt } from '../src/document/viewport';

const STAGE = { width: 800, height: 600 };
const size = fc.record({ width: fc.integer({ min: 1, max: 9000 }), height: fc.integer({ min: 1, max: 9000 }) });
const point = fc.tuple(fc.integer({ min: 0, max: 800 }), fc.integer({ min: 0, max: 600 }));
const view = fc.record({
  x: fc.integer({ min: -500, max: 500 }),
  y: fc.integer({ min: -500, max: 500 }),
  scale: fc.constantFrom(0.1, 0.5, 1, 3),
});

describe('looking at a picture', () => {
  it('shows all of it, in the middle', () => {
    fc.assert(
      fc.property(size, (picture) => {
        const { x, y, scale } = fitted(picture, STAGE);
        expect(x + picture.width * scale).toBeCloseTo(STAGE.width - x);
        expect(y + picture.height * scale).toBeCloseTo(STAGE.height - y);
        if (scale > 1 / 64) expect(Math.min(x, y)).toBeGreaterThanOrEqual(16 - 1e-6);
        expect(scale).toBeLessThanOrEqual(8);
      }),
    );
    expect(centred({ width: 100, height: 100 }, STAGE, 1)).toEqual({ x: 350, y: 250, scale: 1 });
  });

  it('keeps what is under the pointer there while it zooms, within limits', () => {
    fc.assert(
      fc.property(view, point, fc.constantFrom(0.01, 0.9, 1.2, 100), (from, at, factor) => {
        const after = zoomedAt(from, factor, at);
        const [before, now] = [toPicture(from, at), toPicture(after, at)];
        expect(now[0]).toBeCloseTo(before[0], 6);
        expect(now[1]).toBeCloseTo(before[1], 6);
        expect(after.scale).toBeLessThanOrEqual(64);
        expect(after.scale).toBeGreaterThanOrEqual(1 / 64);
      }),
    );
  });

  it('follows two fingers', () => {
    fc.assert(
      fc.property(view, point, point, fc.integer({ min: -50, max: 50 }), (from, a, b, by) => {
        fc.pre(Math.hypot(a[0] - b[0], a[1] - b[1]) > 20);
        const moved = pinched(from, [a, b], [[a[0] + by, a[1]], [b[0] + by, b[1]]]); // biome-ignore format: two points
        expect(moved.x).toBeCloseTo(from.x + by);
        expect(moved.scale).toBeCloseTo(from.scale);
        const far: [number, number] = [a[0] + 2 * (b[0] - a[0]), a[1] + 2 * (b[1] - a[1])];
        const spread = pinched(from, [a, b], [a, far]);
        expect(spread.scale).toBeCloseTo(from.scale * 2);
        expect(toPicture(spread, a)[0]).toBeCloseTo(toPicture(from, a)[0]);
      }),
    );
  });

  it('never loses the picture', () => {
    fc.assert(
      fc.property(size, fc.integer({ min: -1e6, max: 1e6 }), fc.constantFrom(0.05, 1, 20), (picture, off, scale) => {
        const { x, y } = inSight({ x: off, y: -off, scale }, picture, STAGE);
        expect(x + picture.width * scale).toBeGreaterThan(0);
        expect(x).toBeLessThan(STAGE.width);
        expect(y + picture.height * scale).toBeGreaterThan(0);
        expect(y).toBeLessThan(STAGE.height);
      }),
    );
  });
});
