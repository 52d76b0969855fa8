import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupsIn, stretchesOf, weigh } from '../src/document/weights';

const at = (text: string): [string, number, number] => {
  const [start, end] = [text.indexOf('|'), text.lastIndexOf('|')];
  return [text.replaceAll('|', ''), start, end === start ? start : end - 1];
};

describe('weights of a prompt', () => {
  it('are found where they stand', () => {
    expect(groupsIn('a (red:1.3) [fox] (x) \\(y\\) (')).toEqual([
      { start: 2, end: 11, weight: 1.3 },
      { start: 12, end: 17, weight: 1 / 1.1 },
      { start: 18, end: 21, weight: 1.1 },
    ]);
  });

  it('multiply, but for a written number', () => {
    expect(stretchesOf('((a) b)').map((one) => Number(one.weight.toFixed(3)))).toEqual([1.1, 1.21, 1.1]);
    expect(stretchesOf('((a:1.5) b)').map((one) => Number(one.weight.toFixed(3)))).toEqual([1.1, 1.5, 1.1]);
  });

  it.each([
    ['a r|ed fox', 1, 'a (red:1.05) fox'],
    ['a |red fox|', 1, 'a (red fox:1.05)'],
    ['a | red fox, |', -1, 'a  (red fox:0.95), '],
    ['a (r|ed:1.05)', 1, 'a (red:1.1)'],
    ['a (r|ed:1.05)', -1, 'a red'],
    ['a (|red fox|:1.2)', 1, 'a (red fox:1.25)'],
    ['a (red |fox:1.2)', 1, 'a (red (fox:1.05):1.2)'],
    ['(|fox)', 1, '(fox:1.15)'],
    ['|', 1, ''],
  ])('of %j by %d make %j', (marked, by, wanted) => {
    const [text, start, end] = at(marked);
    expect(weigh(text, start, end, by).text).toBe(wanted);
  });

  it('go up and down again to where they were', () => {
    const words = fc.array(fc.constantFrom('a', 'fox', ',', 'red'), { minLength: 1, maxLength: 6 }).map((list) => list.join(' '));
    fc.assert(
      fc.property(words, fc.nat(40), fc.integer({ min: 1, max: 8 }), (text, cursor, steps) => {
        let now = { text, start: Math.min(cursor, text.length), end: Math.min(cursor, text.length) };
        for (let i = 0; i < steps; i++) now = weigh(now.text, now.start, now.end, 1);
        for (let i = 0; i < steps; i++) now = weigh(now.text, now.start, now.end, -1);
        expect(now.text).toBe(text);
      }),
    );
  });

  it('never fail', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('(', ')', '[', ']', ':', '1', '\\', 'a', ' ') }), (text) => void stretchesOf(text)),
    );
  });
});
