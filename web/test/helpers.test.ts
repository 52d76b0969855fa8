import { describe, expect, it } from 'vitest';
import { evaluate } from '../src/document/arithmetic';
import { align, arrange, GRID, geometryOf, handlesOf } from '../src/document/geometry';
import { faultOf, nearest } from '../src/document/literals';
import { searchNodes } from '../src/document/search';
import { CATALOG, doc, link } from './fixtures';

describe('arithmetic in number fields', () => {
  it.each([
    ['512*1.5', 768],
    ['(1024 - 64) / 2', 480],
    ['2^3^2', 512],
    ['-2^2', -4],
    ['1e-3', 0.001],
    ['.5', 0.5],
    ['7 % 4', 3],
    ['*2', 20],
    ['/ 4', 2.5],
    ['+=5', 15],
    ['-5', -5],
    ['1--1', 2],
  ])('%s is %d', (text, value) => expect(evaluate(text, 10)).toBeCloseTo(value, 10));

  it.each(['', 'alert(1)', '1 +', '(2', '1/0', '2 3', 'constructor', '('.repeat(5000)])('%s is nothing', (text) =>
    expect(evaluate(text)).toBeNull(),
  );
});

describe('the palette', () => {
  const ids = (query: string, loose: Parameters<typeof searchNodes>[2] = null) =>
    searchNodes(CATALOG, query, loose).map((one) => one.spec.id);

  it('finds by the start of words first', () => {
    expect(ids('s')[0]).toMatch(/^S/);
    expect(ids('swi')).toEqual(['Switch']);
    expect(ids('xyz')).toEqual([]);
    expect(ids('image blur')[0]).toBe('Blur');
  });

  it('offers only what takes a dropped link, exact types first', () => {
    const found = searchNodes(CATALOG, '', { side: 'output', type: CATALOG.parse('image') });
    expect(found.map((one) => one.spec.id).sort()).toEqual(['Blur', 'Save', 'Switch']);
    expect(found[found.length - 1]!.spec.id).toBe('Switch');
    expect(found[0]!.partner).toBe('image');
  });

  it('offers what needs no other link first', () => {
    const input = { type: 'image', required: true };
    const node = { ...CATALOG.specs.Blur!, outputs: {} };
    const two = { ...node, id: 'Ab', title: 'Ab', inputs: { image: input, other: { type: 'model', required: true } } };
    const one = { ...node, id: 'Yz', title: 'Yz', inputs: { image: input } };
    const found = searchNodes(CATALOG.with({ Ab: two, Yz: one }), '', { side: 'output', type: CATALOG.parse('image') });
    const order = found.map((each) => each.spec.id);
    expect(order.indexOf('Yz')).toBeLessThan(order.indexOf('Ab'));
  });

  it('offers only what feeds an input', () => {
    expect(ids('', { side: 'input', type: CATALOG.parse('float'), mapped: false }).sort()).toEqual(['Sum', 'Switch']);
  });

  it('puts what was used last in front', () => {
    expect(searchNodes(CATALOG, '', null, ['Sum'])[0]!.spec.id).toBe('Sum');
  });

  it('puts what most workflows are made of before what fits as well', () => {
    const one = { ...CATALOG.spec('Blur')!, id: 'Aaa', title: 'Aaa' };
    const usual = { ...CATALOG.spec('Save')!, id: 'SaveImage', title: 'Save Image' };
    const catalog = CATALOG.with({ Aaa: one, SaveImage: usual });
    expect(searchNodes(catalog, '', { side: 'output', type: catalog.parse('image') })[0]!.spec.id).toBe('SaveImage');
    const sampler = { ...one, id: 'KSampler', title: 'KSampler' };
    const dataset = { ...one, id: 'SampleDataset', title: 'Sample Dataset' };
    expect(searchNodes(CATALOG.with({ a: sampler, b: dataset }), 'sampl', null)[0]!.spec.id).toBe('KSampler');
  });

  it('shows all by category if nothing is asked, what was used lately first', () => {
    const all = searchNodes(CATALOG, '', null, ['Sum']);
    expect(all).toHaveLength(Object.keys(CATALOG.specs).length);
    expect(all[0]!.group).toBe('used lately');
    const groups = all.map((one) => one.group).filter((group, i, list) => group !== list[i - 1]);
    expect(new Set(groups).size).toBe(groups.length);
    expect(groups.indexOf('loaders')).toBeLessThan(groups.indexOf('image'));
  });
});

describe('geometry', () => {
  const entry = doc({ 1: ['Blur', {}] }).nodes['1']!;
  const blur = CATALOG.spec('Blur')!;

  it('lies on the grid and keeps every handle inside', () => {
    for (const spec of Object.values(CATALOG.specs)) {
      const geometry = geometryOf(spec, entry, { size: [301, 333] }, true);
      expect([geometry.width % GRID, geometry.height % GRID]).toEqual([0, 0]);
      const handles = handlesOf(geometry, spec, entry);
      expect(handles.length).toBe(Object.keys(spec.inputs).length + Object.keys(spec.outputs).length);
      for (const handle of handles) expect(handle.y).toBeLessThan(geometry.height);
    }
  });

  it('rows follow each other without a gap, whatever the height', () => {
    const { rows } = geometryOf(CATALOG.spec('Prompt'), entry, { size: [300, 500] }, false);
    rows.slice(1).forEach((row, i) => {
      expect(row.y).toBe(rows[i]!.y + rows[i]!.height);
    });
    expect(rows.find((row) => row.kind === 'widget')!.height).toBeGreaterThan(350);
  });

  it('brings all handles of a collapsed node to one place', () => {
    const geometry = geometryOf(blur, entry, { collapsed: true }, false);
    expect(new Set(handlesOf(geometry, blur, entry).map((handle) => handle.y)).size).toBe(1);
  });

  it('has a place for each link of a node that is not installed', () => {
    const odd = doc({ 1: ['Gone', { a: 1, b: link('2', 'x') }] }).nodes['1']!;
    const handles = handlesOf(geometryOf(undefined, odd, undefined, false, ['out']), undefined, odd, ['out']);
    expect(handles.map((handle) => `${handle.side} ${handle.name}`)).toEqual(['input a', 'output out', 'input b']);
  });

  it('lines up and spreads', () => {
    const boxes = {
      a: { x: 0, y: 0, width: 100, height: 50 },
      b: { x: 40, y: 90, width: 60, height: 50 },
      c: { x: 20, y: 400, width: 60, height: 50 },
    };
    expect(align(boxes, 'right')).toEqual({ a: [0, 0], b: [40, 90], c: [40, 400] });
    const { a, b, c } = align(boxes, 'rows');
    expect(b![1] - a![1]).toBe(c![1] - b![1]);
  });

  it('arranges every node behind what it depends on', () => {
    const chain = doc({ s: ['Save', { image: link('b', 'image') }], b: ['Blur', { image: link('l', 'image') }], l: ['Load', {}] });
    const places = arrange(chain, {});
    expect(places['l']![0]).toBeLessThan(places['b']![0]);
    expect(places['b']![0]).toBeLessThan(places['s']![0]);
  });
});

describe('typed values', () => {
  const radius = CATALOG.spec('Blur')!.inputs['radius']!;

  it('are checked as the server does', () => {
    expect(faultOf(radius, 3, CATALOG)).toBeNull();
    expect(faultOf(radius, 30, CATALOG)).toMatch(/above 10/);
    expect(faultOf(radius, 'x', CATALOG)).toMatch(/wants float/);
    expect(faultOf(CATALOG.spec('Sum')!.inputs['a']!, 1.5, CATALOG)).toMatch(/wants int/);
  });

  it('are brought to the nearest one that is taken', () => {
    expect(nearest(radius, 10.7)).toBe(10);
    expect(nearest({ ...radius, widget: { kind: 'slider', step: 0.5 } }, 3.3)).toBe(3.5);
    expect(nearest(CATALOG.spec('Sum')!.inputs['a']!, 2.6)).toBe(3);
  });
});
