import { describe, expect, it } from 'vitest';
import { freeName } from '../src/document/names';
import { numberAt, PAGE, withNewest, withOlder } from '../src/state/history';
import type { Run } from '../src/wire';

const run = (id: number, number = id): Run => ({ id: `${id}`, created: id, number }) as Run;
const runs = (from: number, count: number): Run[] => Array.from({ length: count }, (_, i) => run(from - i));
const ids = (list: readonly Run[]): number[] => list.map((one) => Number(one.id));

describe('pages of the history', () => {
  it('puts new runs in front and keeps older pages', () => {
    const known = withOlder(runs(100, PAGE), runs(100 - PAGE, PAGE));
    const now = withNewest(known, runs(103, PAGE));
    expect(ids(now)).toEqual(ids(runs(103, 2 * PAGE + 3)));
  });

  it('lets go of what the server has erased from its newest page', () => {
    const newest = runs(101, PAGE + 1).filter((one) => one.id !== '90');
    expect(ids(withNewest(runs(100, PAGE), newest))).not.toContain(90);
    expect(withNewest(runs(100, 3), [])).toEqual([]);
  });

  it('takes nothing twice if the list moved between two pages', () => {
    expect(ids(withOlder(runs(10, 5), runs(7, 5)))).toEqual(ids(runs(10, 8)));
  });
});

describe('the number of a waiting run', () => {
  const others = [run(1, -2), run(2, 0), run(3, 10)];
  it.each([
    [0, -3],
    [1, -1],
    [2, 5],
    [3, 11],
  ])('at place %d is %d', (index, number) => expect(numberAt(others, index)).toBe(number));
  it('alone is anything', () => expect(numberAt([], 0)).toBe(0));
});

it('a copy gets a name that is free', () => {
  expect(freeName('fox', ['fox'])).toBe('fox 2');
  expect(freeName('fox 2', ['fox', 'Fox 2', 'fox 3'])).toBe('fox 4');
});
