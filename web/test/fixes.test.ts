import { describe, expect, it } from 'vitest';
import { Edit } from '../src/document/change';
import { fixesOf } from '../src/document/fixes';
import type { Doc } from '../src/document/model';
import type { ErrorJson } from '../src/wire';
import { CATALOG, doc, link } from './fixtures';

const START = doc({
  load: ['Load', { file: 'a.png' }],
  blur: ['Blur', { image: link('load', 'image'), radius: 30 }],
  sum: ['Sum', { a: 1, b: 2 }],
});

const fault = (code: string, more: Partial<ErrorJson>): ErrorJson => ({ code, error: '', message: '', ...more });

/** The document after a fix, by its label. */
function fixed(problem: ErrorJson, label: string, start: Doc = START): Doc {
  const fix = fixesOf(problem, start, CATALOG).find((one) => one.label === label);
  if (fix === undefined) throw new Error(`no ${label} among ${fixesOf(problem, start, CATALOG).map((one) => one.label)}`);
  const edit = new Edit(start);
  fix.edit(edit);
  return edit.doc;
}

describe('a fix', () => {
  it('adds a node that gives what is missing and needs the least itself, or connects one that is there', () => {
    const start = doc({ blur: ['Blur', {}], load: ['Load', { file: 'a.png' }] });
    const problem = fault('E101', { node: 'blur', input: 'image', hint: 'connect it; `Blur`, `Load` can give image' });
    expect(fixesOf(problem, start, CATALOG).map((one) => one.label)).toEqual(['Add Load', 'Connect Load · image']);
    expect(fixed(problem, 'Add Load', start).nodes['blur']!.inputs['image']).toEqual(link('1', 'image'));
    expect(fixed(problem, 'Connect Load · image', start).nodes['blur']!.inputs['image']).toEqual(link('load', 'image'));
  });

  it('feeds a new node with what is there, and lays it where it covers none', () => {
    const start = doc({ load: ['Load', {}], sum: ['Sum', {}], save: ['Save', { image: link('load', 'mask') }] });
    const problem = fault('E102', { node: 'save', input: 'image', hint: 'put `Blur` between them' });
    const found = fixed(problem, 'Put Blur between', start);
    expect(found.nodes['save']!.inputs['image']).toEqual(link('1', 'image'));
    const [x, y] = found.layout['1']!.pos!;
    expect(x).toBeLessThan(0);
    const again = fixed(problem, 'Put Blur between', { ...start, layout: { load: { pos: [x, y] } } });
    expect(again.layout['1']!.pos![1]).toBeGreaterThan(y + 100);
  });

  it('puts a node between two that do not fit', () => {
    const start = doc({ ...{ sum: ['Sum', {}] as [string, object] }, save: ['Save', { image: link('sum', 'sum') }] } as never);
    const problem = fault('E102', { node: 'save', input: 'image', hint: 'put `Many` between them' });
    const found = fixed(problem, 'Put Many between', start);
    expect(found.nodes['save']!.inputs['image']).toEqual(link('1', 'items'));
    expect(found.nodes['1']!.inputs['count']).toEqual(link('sum', 'sum'));
    expect(fixed(problem, 'Disconnect', start).nodes['save']!.inputs).toEqual({});
  });

  it('brings a number into range, and offers the default', () => {
    const problem = fault('E107', { node: 'blur', input: 'radius', hint: 'give a number in the range 0 to 10' });
    expect(fixesOf(problem, START, CATALOG).map((one) => one.label)).toEqual(['Use 10', 'Use 2']);
    expect(fixed(problem, 'Use 10').nodes['blur']!.inputs['radius']).toBe(10);
  });

  it('chooses a file that is there', () => {
    const problem = fault('E401', { node: 'load', input: 'file', hint: 'did you mean `cat.png`? There is: cat.png, dog.png' });
    expect(fixesOf(problem, START, CATALOG).map((one) => one.label)).toEqual(['Use cat.png', 'Use dog.png']);
    expect(fixed(problem, 'Use dog.png').nodes['load']!.inputs['file']).toBe('dog.png');
  });

  it('makes an unknown node one that is known, or deletes it', () => {
    const start = doc({ odd: ['Blurr', { image: link('load', 'image') }], load: ['Load', {}] });
    const problem = fault('E104', { node: 'odd', hint: 'did you mean `Blur`?' });
    expect(fixed(problem, 'Make it Blur', start).nodes['odd']).toMatchObject({ type: 'Blur', inputs: { image: link('load', 'image') } });
    expect(fixed(problem, 'Delete it', start).nodes['odd']).toBeUndefined();
  });

  it('renames or removes an input that is not known', () => {
    const start = doc({ blur: ['Blur', { radiu: 4 }] });
    const problem = fault('E105', { node: 'blur', input: 'radiu', hint: 'did you mean `radius`?' });
    expect(fixed(problem, 'It is radius', start).nodes['blur']!.inputs).toEqual({ radius: 4 });
    expect(fixed(problem, 'Remove this value', start).nodes['blur']!.inputs).toEqual({});
  });

  it('cuts a cycle, and a link from nowhere', () => {
    const start = doc({ a: ['Blur', { image: link('b', 'image') }], b: ['Blur', { image: link('a', 'image') }] });
    expect(fixed(fault('E103', { node: 'a' }), 'Disconnect image from Blur', start).nodes['a']!.inputs).toEqual({});
    const lost = doc({ a: ['Blur', { image: link('load', 'img') }], load: ['Load', {}] });
    const problem = fault('E109', { node: 'a', input: 'image', hint: 'its outputs: `image`, `mask`' });
    expect(fixed(problem, 'Connect image', lost).nodes['a']!.inputs['image']).toEqual(link('load', 'image'));
    expect(fixed(problem, 'Disconnect', lost).nodes['a']!.inputs).toEqual({});
  });

  it('shows what nothing takes if nothing would run', () => {
    const found = fixed(fault('E110', { hint: 'add `Save`' }), 'Add Save');
    expect(found.nodes['1']).toMatchObject({ type: 'Save', inputs: { image: link('blur', 'image') } });
  });

  it('is none for a node that is elsewhere, and for what needs thought', () => {
    expect(fixesOf(fault('E107', { node: 'outer/inner', input: 'x' }), START, CATALOG)).toEqual([]);
    expect(fixesOf(fault('E201', { node: 'blur' }), START, CATALOG)).toEqual([]);
  });
});
