import { describe, expect, it } from 'vitest';
import { Edit } from '../src/document/change';
import { copyNodes, duplicateNodes, pasteNodes } from '../src/document/edits/clipboard';
import { addGroup, changeGroup, deleteGroups, isInside } from '../src/document/edits/groups';
import { connect, disconnect, resetInput, setInput, spliceInto } from '../src/document/edits/links';
import { addNode, deleteNodes, setTitle, toggleCollapsed, toggleMode } from '../src/document/edits/nodes';
import { perform, redo, startHistory, undo } from '../src/document/history';
import { type Doc, emptyDocument, writeDocument } from '../src/document/model';
import { CATALOG, doc, link } from './fixtures';

function edited(start: Doc, change: (edit: Edit) => void): Doc {
  const edit = new Edit(start);
  change(edit);
  return edit.doc;
}

const CHAIN = doc({
  load: ['Load', { file: 'cat.png' }],
  blur: ['Blur', { image: link('load', 'image'), radius: 3 }],
  save: ['Save', { image: link('blur', 'image') }],
});

describe('nodes', () => {
  it('are added with the defaults of their type', () => {
    const result = edited(emptyDocument(), (edit) => addNode(edit, CATALOG.spec('Blur')!, [8, 12]));
    expect(result.nodes).toEqual({ 1: { type: 'Blur', version: 1, inputs: { radius: 2 } } });
    expect(result.layout).toEqual({ 1: { pos: [8, 12] } });
  });

  it('are deleted with their links', () => {
    const result = edited(CHAIN, (edit) => deleteNodes(edit, ['blur'], CATALOG));
    expect(Object.keys(result.nodes)).toEqual(['load', 'save']);
    expect(result.nodes['save']!.inputs).toEqual({});
  });

  it('are deleted and what came in goes on to where it went', () => {
    const result = edited(CHAIN, (edit) => deleteNodes(edit, ['blur'], CATALOG, true));
    expect(result.nodes['save']!.inputs).toEqual({ image: link('load', 'image') });
  });

  it('are bypassed, collapsed and titled, and all of it goes again', () => {
    const there = edited(CHAIN, (edit) => {
      toggleMode(edit, ['blur'], 'bypassed');
      toggleCollapsed(edit, ['blur']);
      setTitle(edit, 'blur', 'soft');
    });
    expect(there.nodes['blur']).toMatchObject({ mode: 'bypassed', title: 'soft' });
    const back = edited(there, (edit) => {
      toggleMode(edit, ['blur'], 'bypassed');
      toggleCollapsed(edit, ['blur']);
      setTitle(edit, 'blur', '');
    });
    expect(back.nodes).toEqual(CHAIN.nodes);
  });
});

describe('links', () => {
  it('hold the value whose place they take, and give it back', () => {
    const start = doc({ 1: ['Sum', { a: 1, b: 2 }], 2: ['Blur', { radius: 7 }] });
    const linked = edited(start, (edit) => connect(edit, { node: '1', output: 'sum' }, '2', 'radius'));
    expect(linked.nodes['2']!.inputs).toEqual({ radius: link('1', 'sum') });
    const cut = edited(linked, (edit) => disconnect(edit, '2', 'radius'));
    expect(cut.nodes).toEqual(start.nodes);
    expect(cut.layout['2']).toEqual({});
  });

  it('give the value back when their source is deleted', () => {
    const start = doc({ 1: ['Sum', {}], 2: ['Blur', { radius: 7 }] });
    const linked = edited(start, (edit) => connect(edit, { node: '1', output: 'sum' }, '2', 'radius'));
    expect(edited(linked, (edit) => deleteNodes(edit, ['1'], CATALOG)).nodes['2']!.inputs).toEqual({ radius: 7 });
  });

  it('are led through a node that is dropped on them', () => {
    const start = edited(CHAIN, (edit) => addNode(edit, CATALOG.spec('Blur')!, [0, 0]));
    const result = edited(start, (edit) => spliceInto(edit, { node: '1', input: 'image', output: 'image' }, 'save', 'image'));
    expect(result.nodes['1']!.inputs['image']).toEqual(link('blur', 'image'));
    expect(result.nodes['save']!.inputs['image']).toEqual(link('1', 'image'));
  });
});

describe('copies', () => {
  it('keep links among themselves and drop those from outside', () => {
    const result = edited(CHAIN, (edit) => pasteNodes(edit, copyNodes(CHAIN, ['blur', 'save']), [100, 200], false));
    expect(result.nodes['1']).toEqual({ type: 'Blur', version: 1, inputs: { radius: 3 } });
    expect(result.nodes['2']!.inputs).toEqual({ image: link('1', 'image') });
    expect(result.layout['1']!.pos).toEqual([100, 200]);
  });

  it('keep links from outside when they are duplicates', () => {
    const result = edited(CHAIN, (edit) => duplicateNodes(edit, ['blur']));
    expect(result.nodes['1']!.inputs).toEqual({ image: link('load', 'image'), radius: 3 });
  });
});

describe('groups', () => {
  it('frame boxes, change and go', () => {
    const box = { x: 100, y: 100, width: 200, height: 80 };
    const one = edited(CHAIN, (edit) => addGroup(edit, [box], 'first'));
    expect(isInside(one.groups[0]!, box)).toBe(true);
    const two = edited(one, (edit) => changeGroup(edit, 0, { title: 'second' }));
    expect(two.groups[0]!.title).toBe('second');
    expect(edited(two, (edit) => deleteGroups(edit, [0])).groups).toEqual([]);
  });
});

describe('the log', () => {
  it('joins what is typed quickly into one step, and nothing else', () => {
    let log = startHistory(CHAIN);
    for (let i = 0; i < 50; i++) log = perform(log, 'Radius', (edit) => setInput(edit, 'blur', 'radius', i), 'blur.radius', i * 100);
    expect(log.past.length).toBe(1);
    expect(log.past[0]!.changes.length).toBe(1);
    log = perform(log, 'Radius', (edit) => setInput(edit, 'blur', 'radius', 99), 'blur.radius', 10_000);
    expect(log.past.length).toBe(2);
    expect(undo(undo(log)).doc).toEqual(CHAIN);
  });

  it('brings back what was taken away and set anew in one step to its old place', () => {
    const start = doc({ b: ['Blur', { radius: 3, image: link('l', 'image') }], l: ['Load', {}] });
    let log = perform(startHistory(start), 'Reset', (edit) => resetInput(edit, 'b', 'radius'), 'same', 0);
    log = perform(log, 'Set', (edit) => setInput(edit, 'b', 'radius', 5), 'same', 10);
    expect(log.past.length).toBe(1);
    expect(writeDocument(undo(log).doc)).toBe(writeDocument(start));
  });

  it('forgets what was undone when something else is done', () => {
    const log = undo(perform(startHistory(CHAIN), 'Title', (edit) => setTitle(edit, 'blur', 'x')));
    expect(redo(log).doc.nodes['blur']!.title).toBe('x');
    const other = perform(log, 'Title', (edit) => setTitle(edit, 'save', 'y'));
    expect(redo(other)).toBe(other);
  });

  it('says nothing about edits that change nothing', () => {
    const log = startHistory(CHAIN);
    expect(perform(log, 'Value', (edit) => setInput(edit, 'blur', 'radius', 3))).toBe(log);
  });

  it('shares what an edit did not touch', () => {
    const log = perform(startHistory(CHAIN), 'Value', (edit) => setInput(edit, 'blur', 'radius', 4));
    expect(log.doc.nodes['load']).toBe(CHAIN.nodes['load']);
  });
});
