import { expect, it } from 'vitest';
import { missingTypes, packOf } from '../src/document/missing';
import { nodeName, placeName, valueName } from '../src/document/places';
import { CATALOG, doc, link } from './fixtures';

const DOC = {
  ...doc({ a: ['Odd', {}], b: ['pack/Node', {}], c: ['Odd', {}], d: ['Blur', {}], e: ['subgraph/mine', {}], f: ['subgraph/gone', {}] }),
  subgraphs: { mine: { nodes: { x: { type: 'Odd', inputs: {} } } } as never },
  meta: { requires: { nodes: { Odd: 'odd-pack', Bad: 7 } } },
};

it('missing types are told with their packs, the most used first', () => {
  expect(missingTypes(DOC, CATALOG)).toEqual([
    { type: 'Odd', pack: 'odd-pack', count: 3 },
    { type: 'pack/Node', pack: 'pack', count: 1 },
    { type: 'subgraph/gone', pack: null, count: 1 },
  ]);
  expect(packOf(DOC, 'Bad')).toBeNull();
  expect(packOf(DOC, 'constructor')).toBeNull();
});

it('places and values have names for people', () => {
  expect(nodeName('d', [DOC], CATALOG)).toBe('Blur');
  expect(placeName(['nodes', 'd', 'inputs', 'some_radius'], [DOC], CATALOG)).toBe('Blur · some radius');
  expect(placeName(['meta', 'title'], [DOC], CATALOG)).toBe('title');
  expect(valueName(link('d', 'image'), [DOC], CATALOG, '')).toBe('from Blur · image');
  expect(valueName(undefined, [DOC], CATALOG, 'deleted')).toBe('deleted');
  expect(valueName(2n ** 60n, [DOC], CATALOG, '')).toBe('1152921504606846976');
  expect(valueName(DOC.nodes['d'] as never, [DOC], CATALOG, '')).toBe('kept, with its changes');
});
