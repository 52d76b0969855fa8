import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deleteNodes, moveNodes } from '../src/document/edits/nodes';
import { perform, startHistory, undo } from '../src/document/history';
import type { Json } from '../src/document/json';
import { patchBetween, patched, readPatch, writePatch } from '../src/document/patch';
import { CATALOG, doc, link } from './fixtures';

const tree: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    fc.constantFrom<Json>(null, true, 1, 2n ** 63n, '', 'a'),
    fc.array(fc.integer(), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__', 'value'), tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;
const root = fc.dictionary(fc.constantFrom('a', 'b', 'c'), tree, { noNullPrototype: true });

describe('what changed between two documents', () => {
  it('makes the second of the first, also after it was written and read', () => {
    fc.assert(
      fc.property(root, root, (one, other) => {
        const [before, after] = [one, other] as unknown as Parameters<typeof patchBetween>;
        expect(patched(before, readPatch(writePatch(patchBetween(before, after))))).toEqual(after);
        expect(patchBetween(before, before)).toEqual([]);
      }),
    );
  });

  it('is short where little changed in much', () => {
    const start = startHistory(doc({ 1: ['Load', { text: 'x'.repeat(100_000) }], 2: ['Blur', { image: link('1', 'image') }] }));
    const moved = perform(start, 'Move', (edit) => moveNodes(edit, { 1: [40, 80] }));
    expect(writePatch(patchBetween(start.doc, moved.doc)).length).toBeLessThan(200);
    expect(patched(start.doc, patchBetween(start.doc, moved.doc))).toEqual(moved.doc);
    expect(patchBetween(start.doc, undo(moved).doc)).toHaveLength(0);
    const gone = perform(moved, 'Delete', (edit) => deleteNodes(edit, ['1'], CATALOG));
    expect(patched(start.doc, patchBetween(start.doc, gone.doc))).toEqual(gone.doc);
  });
});
