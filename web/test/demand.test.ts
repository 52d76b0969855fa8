import { describe, expect, it } from 'vitest';
import { demanded, demandOf } from '../src/document/demand';
import { geometryOf } from '../src/document/geometry';
import { parseJson } from '../src/document/json';
import { CATALOG, doc, link } from './fixtures';

const CHAIN = doc({
  load: ['Load', { file: 'cat.png' }],
  blur: ['Blur', { image: link('load', 'image') }],
  save: ['Save', { image: link('blur', 'image') }],
  other: ['Sum', {}],
});

describe('what a run will look at', () => {
  it('is what its outputs need', () => {
    expect([...demanded(demandOf(CHAIN, CATALOG, null), new Set())].sort()).toEqual(['blur', 'load', 'save']);
  });

  it('ends at results that are known', () => {
    expect([...demanded(demandOf(CHAIN, CATALOG, null), new Set(['blur']))]).toEqual(['save']);
  });

  it('begins at the targets', () => {
    expect([...demanded(demandOf(CHAIN, CATALOG, ['other']), new Set())]).toEqual(['other']);
  });
});

describe('inputs that nobody needs to set', () => {
  const spare = { type: 'image', required: false };
  const spec = { ...CATALOG.spec('Sum')!, inputs: { a: { type: 'int', required: true }, b: spare, c: spare } };
  const entry = doc({ one: ['Sum', {}] }).nodes['one']!;
  const names = (more: boolean, given = entry): (string | null)[] =>
    geometryOf(spec, given, more ? { more } : {}, false).rows.flatMap((row) => (row.kind === 'slots' ? [row.input] : [row.kind]));

  it('are folded into one row, and unfolded', () => {
    expect(names(false)).toEqual(['a', 'more']);
    expect(names(true)).toEqual(['a', 'b', 'c', 'more']);
  });

  it('are shown when they are connected', () => {
    expect(names(false, doc({ one: ['Sum', { b: link('x', 'y') }] }).nodes['one'])).toEqual(['a', 'b', 'c']);
  });
});

describe('numbers with many digits', () => {
  it('are read as they are, behind the point too', () => {
    const line = '{"a":0.0523456789012345678,"b":-1.5e-05,"c":18446744073709551615,"d":[9007199254740993,0.1]}';
    expect(parseJson(line)).toEqual({
      a: Number('0.0523456789012345678'),
      b: -1.5e-5,
      c: 18446744073709551615n,
      d: [9007199254740993n, 0.1],
    });
  });
});
