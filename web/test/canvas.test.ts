import { describe, expect, it } from 'vitest';
import { Edit } from '../src/document/change';
import { copyNodes, pasteNodes } from '../src/document/edits/clipboard';
import { addGroup, fitGroup, isNested } from '../src/document/edits/groups';
import { connect, leadVia } from '../src/document/edits/links';
import { addReroute, moveReroute, moveReroutes, removeReroute } from '../src/document/edits/reroutes';
import type { Box } from '../src/document/geometry';
import { neighbour } from '../src/document/neighbours';
import { doc, link } from './fixtures';

const CHAIN = doc({
  load: ['Load', { file: 'cat.png' }],
  blur: ['Blur', { image: link('load', 'image'), radius: 3 }],
  save: ['Save', { image: link('blur', 'image') }],
  sum: ['Sum', { a: 1, b: 2 }],
});

const box = (x: number, y: number): Box => ({ x, y, width: 100, height: 50 });
const BOXES = { load: box(0, 0), blur: box(200, 0), save: box(400, 0), sum: box(200, 200) };

describe('reroutes', () => {
  const ends = [
    [100, 0],
    [400, 0],
  ] as const;

  it('are put between the stops they lie closest to, moved and removed', () => {
    const edit = new Edit(CHAIN);
    addReroute(edit, 'blur', 'image', ends, [200, 50]);
    addReroute(edit, 'blur', 'image', ends, [350, 50]);
    addReroute(edit, 'blur', 'image', ends, [120, 10]);
    expect(edit.doc.layout['blur']!.via!['image']).toEqual([
      [120, 10],
      [200, 50],
      [350, 50],
    ]);
    moveReroute(edit, 'blur', 'image', 1, [8, 8]);
    removeReroute(edit, 'blur', 'image', 0);
    expect(edit.doc.layout['blur']!.via!['image']).toEqual([
      [8, 8],
      [350, 50],
    ]);
    removeReroute(edit, 'blur', 'image', 0);
    removeReroute(edit, 'blur', 'image', 0);
    expect(edit.doc.layout['blur']).toEqual({});
  });

  it('go along where both ends go, and stay where one does', () => {
    const edit = new Edit(CHAIN);
    leadVia(edit, 'blur', 'image', [[50, 50]]);
    moveReroutes(edit, { blur: [10, 10] });
    expect(edit.doc.layout['blur']!.via!['image']).toEqual([[50, 50]]);
    moveReroutes(edit, { blur: [10, 20], load: [10, 20] });
    expect(edit.doc.layout['blur']!.via!['image']).toEqual([[60, 70]]);
  });
});

describe('copies', () => {
  it('take groups and the points of links along', () => {
    const edit = new Edit(CHAIN);
    addGroup(edit, [BOXES.load], 'inputs');
    leadVia(edit, 'blur', 'image', [[50, 50]]);
    const [, blur] = pasteNodes(edit, copyNodes(edit.doc, ['load', 'blur'], [0]), null, false);
    expect(edit.doc.layout[blur!]!.via!['image']).toEqual([[82, 82]]);
    expect(edit.doc.groups.map((group) => group.bounding[0])).toEqual([-20, 12]);
  });

  it('get back the value a link took the place of, when its start is not copied', () => {
    const edit = new Edit(CHAIN);
    connect(edit, { node: 'sum', output: 'sum' }, 'blur', 'radius');
    const [copy] = pasteNodes(edit, copyNodes(edit.doc, ['blur']), null, false);
    expect(edit.doc.nodes[copy!]!.inputs['radius']).toBe(3);
  });
});

describe('frames', () => {
  it('are fitted to the nodes in them', () => {
    const edit = new Edit(CHAIN);
    edit.set(['groups'], [{ bounding: [-500, -500, 820, 1000] }]);
    fitGroup(edit, 0, Object.values(BOXES));
    expect(edit.doc.groups[0]!.bounding).toEqual([-20, -48, 340, 318]);
  });

  it('lie in each other or not', () => {
    expect(isNested({ bounding: [0, 0, 100, 100] }, { bounding: [10, 10, 50, 90] })).toBe(true);
    expect(isNested({ bounding: [0, 0, 100, 100] }, { bounding: [10, 10, 50, 91] })).toBe(false);
  });
});

describe('the arrow keys', () => {
  it.each([
    ['load', 'right', 'blur'],
    ['blur', 'left', 'load'],
    ['blur', 'right', 'save'],
    ['blur', 'down', 'sum'],
    ['sum', 'up', 'blur'],
    ['sum', 'left', 'load'],
    ['save', 'right', null],
  ] as const)('lead from %s %s to %s', (from, way, to) => {
    expect(neighbour(CHAIN, BOXES, from, way)).toBe(to);
  });
});
