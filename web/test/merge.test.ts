import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../src/document/json';
import { differenceOf, merge, placeOf } from '../src/document/merge';
import { checkDocument, type Doc, linksInto } from '../src/document/model';
import { doc, link } from './fixtures';

const BASE = doc({
  load: ['Load', { file: 'a.png' }],
  blur: ['Blur', { image: link('load', 'image'), radius: 3 }],
  save: ['Save', { image: link('blur', 'image') }],
});

/** The document with what lies at a path replaced, or taken away. */
function put(start: Doc, path: string, value?: unknown): Doc {
  const copy = structuredClone(start) as unknown as JsonObject;
  const keys = path.split('/');
  let at = copy;
  for (const key of keys.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as JsonObject;
  }
  if (value === undefined) delete at[keys.at(-1)!];
  else at[keys.at(-1)!] = value as never;
  return checkDocument(copy);
}

const node = (type: string, inputs: Record<string, unknown> = {}) => ({ type, version: 1, inputs });

describe('a merge', () => {
  it('takes what only one side changed', () => {
    const mine = put(put(BASE, 'nodes/blur/inputs/radius', 5), 'nodes/sum', node('Sum'));
    const theirs = put(put(BASE, 'nodes/load/inputs/file', 'b.png'), 'nodes/save/title', 'the end');
    const { doc: found, conflicts } = merge(BASE, mine, theirs);
    expect(conflicts).toEqual([]);
    expect(found.nodes['blur']!.inputs['radius']).toBe(5);
    expect(found.nodes['load']!.inputs['file']).toBe('b.png');
    expect(found.nodes['save']!.title).toBe('the end');
    expect(found.nodes['sum']!.type).toBe('Sum');
  });

  it('asks about an input that both changed, and does what is chosen', () => {
    const [mine, theirs] = [put(BASE, 'nodes/blur/inputs/radius', 5), put(BASE, 'nodes/blur/inputs/radius', 7)];
    const { doc: found, conflicts } = merge(BASE, mine, theirs);
    expect(conflicts).toEqual([{ path: ['nodes', 'blur', 'inputs', 'radius'], base: 3, mine: 5, theirs: 7 }]);
    expect(found.nodes['blur']!.inputs['radius']).toBe(5);
    const other = merge(BASE, mine, theirs, { [placeOf(conflicts[0]!.path)]: 'theirs' });
    expect(other.doc.nodes['blur']!.inputs['radius']).toBe(7);
    expect(other.conflicts).toHaveLength(1);
  });

  it('does not ask where things lie, nor when both did the same', () => {
    const mine = put(put(BASE, 'layout/blur', { pos: [1, 2] }), 'nodes/blur/inputs/radius', 5);
    const theirs = put(put(BASE, 'layout/blur', { pos: [8, 9], color: '#fff' }), 'nodes/blur/inputs/radius', 5);
    const { doc: found, conflicts } = merge(BASE, mine, theirs);
    expect(conflicts).toEqual([]);
    expect(found.layout['blur']).toEqual({ pos: [1, 2], color: '#fff' });
  });

  it('keeps both nodes if each side added one under the same id, with their links', () => {
    const mine = put(put(BASE, 'nodes/1', node('Sum', { a: 1 })), 'nodes/blur/inputs/radius', link('1', 'sum'));
    const theirs = put(put(BASE, 'nodes/1', node('Prompt')), 'layout/1', { pos: [4, 4] });
    const { doc: found, conflicts } = merge(BASE, put(mine, 'layout/1', { pos: [0, 0] }), theirs);
    expect(conflicts).toEqual([]);
    expect(found.nodes['1']!.type).toBe('Prompt');
    const fresh = (found.nodes['blur']!.inputs['radius'] as { link: string[] }).link[0]!;
    expect(found.nodes[fresh]).toEqual(node('Sum', { a: 1 }));
    expect(found.layout[fresh]).toEqual({ pos: [0, 0] });
    expect(found.layout['1']).toEqual({ pos: [4, 4] });
  });

  it('asks about a node that one side deleted and the other changed', () => {
    const mine = put(put(BASE, 'nodes/blur'), 'nodes/save/inputs/image', link('load', 'image'));
    const theirs = put(BASE, 'nodes/blur/inputs/radius', 7);
    const { conflicts } = merge(BASE, mine, theirs);
    expect(conflicts.map((one) => one.path)).toEqual([['nodes', 'blur']]);
    const kept = merge(BASE, mine, theirs, { [placeOf(['nodes', 'blur'])]: 'theirs' });
    expect(kept.doc.nodes['blur']!.inputs['radius']).toBe(7);
  });

  it('asks about a node that one side deleted and the other has linked, and leaves no dead link', () => {
    const mine = put(BASE, 'nodes/more', node('Save', { image: link('load', 'mask') }));
    const theirs = put(put(BASE, 'nodes/load'), 'nodes/blur/inputs/image');
    const { doc: found, conflicts } = merge(BASE, mine, theirs);
    expect(conflicts.map((one) => one.path)).toEqual([['nodes', 'load']]);
    expect(found.nodes['load']).toBeDefined();
    const cut = merge(BASE, mine, theirs, { [placeOf(['nodes', 'load'])]: 'theirs' }).doc;
    expect(cut.nodes['load']).toBeUndefined();
    expect(cut.nodes['more']!.inputs).toEqual({});
  });

  it('merges frames by their titles', () => {
    const frame = (title: string, x = 0) => ({ title, bounding: [x, 0, 10, 10] });
    const base = put(BASE, 'groups', [frame('a'), frame('b'), frame('b', 5)]);
    const mine = put(base, 'groups', [frame('a', 3), frame('b'), frame('b', 5), frame('mine')]);
    const theirs = put(base, 'groups', [frame('a'), frame('b'), frame('theirs')]);
    const { doc: found, conflicts } = merge(base, mine, theirs);
    expect(conflicts).toEqual([]);
    expect(found.groups).toEqual([frame('a', 3), frame('b'), frame('theirs'), frame('mine')]);
  });

  it('keeps what it does not know, and merges it too', () => {
    const base = put(BASE, 'extra', { a: 1, b: [1, 2] });
    const { doc: found } = merge(base, put(base, 'extra/a', 2), put(base, 'extra/c', 3));
    expect((found as unknown as JsonObject)['extra']).toEqual({ a: 2, b: [1, 2], c: 3 });
  });

  it('says what changed', () => {
    expect(differenceOf(BASE, put(put(BASE, 'nodes/save'), 'nodes/blur/inputs/radius', 9))).toEqual({ added: 0, removed: 1, changed: 1 });
  });
});

const PLACES = [
  'nodes/load/inputs/file',
  'nodes/blur/inputs/radius',
  'nodes/blur/inputs/image',
  'nodes/blur/title',
  'nodes/save',
  'nodes/blur',
  'nodes/load',
  'layout/blur',
  'meta/title',
];
const edits = fc.array(fc.tuple(fc.constantFrom(...PLACES), fc.option(fc.nat(3), { nil: undefined })), { maxLength: 4 });

function edited(plan: readonly (readonly [string, number | undefined])[]): Doc {
  return plan.reduce((now, [path, value]) => {
    const [part, id] = path.split('/');
    if (part === 'nodes' && path.split('/').length > 2 && !Object.hasOwn(now.nodes, id!)) return now;
    if (value === undefined) return put(now, path);
    return put(
      now,
      path,
      path.startsWith('layout') ? { pos: [value, 0] } : path === `nodes/${id}` ? node('Sum', { a: value }) : String(value),
    );
  }, BASE);
}

describe('any merge', () => {
  it('with one side unchanged is the other side, without dead links', () => {
    fc.assert(
      fc.property(edits, (plan) => {
        const one = edited(plan);
        expect(merge(BASE, one, BASE).conflicts).toEqual([]);
        expect(Object.keys(merge(BASE, one, BASE).doc.nodes).sort()).toEqual(Object.keys(one.nodes).sort());
        expect(merge(BASE, BASE, one).doc).toEqual(merge(BASE, one, BASE).doc);
      }),
    );
  });

  it('has what was chosen, and no link from a node that is gone', () => {
    fc.assert(
      fc.property(edits, edits, fc.boolean(), (first, second, other) => {
        const [mine, theirs] = [edited(first), edited(second)];
        const { conflicts } = merge(BASE, mine, theirs);
        const chosen = Object.fromEntries(conflicts.map((one) => [placeOf(one.path), other ? 'theirs' : 'mine'] as const));
        const { doc: found } = merge(BASE, mine, theirs, chosen);
        for (const entry of Object.values(found.nodes)) {
          for (const [, from] of linksInto(entry)) expect(Object.hasOwn(found.nodes, from.node)).toBe(true);
        }
        for (const { path, mine: here, theirs: there } of conflicts) {
          if (path.length !== 4) continue;
          expect(found.nodes[path[1]!]?.inputs[path[3]!]).toEqual(other ? there : here);
        }
      }),
      { numRuns: 300 },
    );
  });
});
