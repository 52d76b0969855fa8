import { describe, expect, it } from 'vitest';
import { inferenceOf } from '../src/document/inference';
import { accepts, isCast, joint, parseType, type TypeRules, typeName } from '../src/document/types';
import { CATALOG, doc, link, readText } from './fixtures';

interface Table {
  subclasses: [string, string][];
  casts: [string, string][];
  cases: { target: string; source: string; each?: boolean; how: string | null }[];
}

const table: Table = JSON.parse(readText('tests/data/connect_cases.json'));
const sockets = ['int', 'float', 'str', 'bool', 'image', 'mask', 'latent', 'portrait'];
const rules: TypeRules = {
  parents: new Map(sockets.map((name) => [name, table.subclasses.filter(([low]) => low === name).map(([, high]) => high)])),
  casts: new Set(table.casts.map(([target, source]) => `${target}<${source}`)),
};

describe('an output meets an input as the shared table says', () => {
  it('has cases', () => expect(table.cases.length).toBeGreaterThan(50));
  it.each(table.cases)('$target from $source', ({ target, source, each, how }) => {
    const [to, from] = [parseType(target, rules), parseType(source, rules)];
    expect(joint(to, from, each === true, rules)).toBe(how);
    if (how === 'plain') expect(accepts(to, from, rules)).toBe(true);
  });
});

describe('types in a document', () => {
  const parse = (text: string) => CATALOG.parse(text);

  it('are named for people', () => {
    expect(typeName(parse('list[image|mask]'))).toBe('list of image or mask');
  });

  it('tell which links convert', () => {
    expect(isCast(parse('float'), parse('int'), CATALOG.rules)).toBe(true);
    expect(isCast(parse('image'), parse('portrait'), CATALOG.rules)).toBe(false);
  });

  it('follow a list through a node that maps over it', () => {
    const view = inferenceOf(doc({ 1: ['Many', {}], 2: ['Blur', { image: link('1', 'items') }] }), CATALOG);
    expect(typeName(view.outputType({ node: '2', output: 'image' }))).toBe('list of image');
  });

  it('follow what is connected to a generic node, through a chain of them', () => {
    const chain = { 1: ['Load', {}], 2: ['Switch', { a: link('1', 'image') }], 3: ['Switch', { b: link('2', 'out') }] } as const;
    const view = inferenceOf(doc(chain as never), CATALOG);
    expect(typeName(view.outputType({ node: '3', output: 'out' }))).toBe('image');
    expect(view.canConnect({ node: '3', output: 'out' }, '3', 'a').ok).toBe(false);
  });

  it('end in a cycle of generic nodes', () => {
    const view = inferenceOf(doc({ 1: ['Switch', { a: link('2', 'out') }], 2: ['Switch', { a: link('1', 'out') }] }), CATALOG);
    expect(typeName(view.outputType({ node: '1', output: 'out' }))).toBe('anything');
  });

  it('refuse what does not fit and what would depend on itself, and say why', () => {
    const view = inferenceOf(doc({ 1: ['Load', {}], 2: ['Blur', { image: link('1', 'image') }], 3: ['Sum', {}] }), CATALOG);
    expect(view.canConnect({ node: '1', output: 'mask' }, '2', 'image')).toEqual({ ok: true, how: 'plain', cast: true });
    expect(view.canConnect({ node: '1', output: 'image' }, '3', 'a')).toEqual({ ok: false, reason: 'wants int, this is image' });
    expect(view.canConnect({ node: '2', output: 'image' }, '2', 'image').ok).toBe(false);
  });

  it('survive 20,000 generic nodes in a row', () => {
    const nodes: Record<string, [string, Record<string, unknown>]> = { 0: ['Load', {}], 1: ['Switch', { a: link('0', 'image') }] };
    for (let i = 2; i < 20_000; i++) nodes[i] = ['Switch', { a: link(String(i - 1), 'out') }];
    const view = inferenceOf(doc(nodes), CATALOG);
    expect(typeName(view.outputType({ node: '19999', output: 'out' }))).toBe('image');
  });
});
