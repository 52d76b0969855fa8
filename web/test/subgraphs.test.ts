/** Making, entering, changing and taking apart subgraphs, and what of them the catalogue tells. */
import { describe, expect, it } from 'vitest';
import { Edit } from '../src/document/change';
import { copyNodes, pasteNodes } from '../src/document/edits/clipboard';
import { connect } from '../src/document/edits/links';
import { addNode, deleteNodes, moveNodes } from '../src/document/edits/nodes';
import {
  exposeInput,
  exposeOutput,
  followTypes,
  makeIndependent,
  makeSubgraph,
  movePort,
  nodesBetween,
  removePort,
  renamePort,
  unpack,
} from '../src/document/edits/subgraphs';
import { perform, startHistory, undo } from '../src/document/history';
import { inferenceOf } from '../src/document/inference';
import { asLink, checkDocument, type Doc, linkValue, NotAWorkflow, viewOf } from '../src/document/model';
import { catalogAt, levelsAt } from '../src/document/subgraphs';
import { CATALOG, doc, link } from './fixtures';

const START = doc({
  load: ['Load', { file: 'a.png' }],
  soft: ['Blur', { image: link('load', 'image'), radius: 3 }],
  softer: ['Blur', { image: link('soft', 'image'), radius: 5 }],
  save: ['Save', { image: link('softer', 'image') }],
  other: ['Save', { image: link('softer', 'image') }],
});

function made(start: Doc = START, ids: readonly string[] = ['soft', 'softer']): { edit: Edit; node: string } {
  const edit = new Edit(start);
  return { edit, node: makeSubgraph(edit, ids, CATALOG, {}, 'Soft')! };
}

describe('making a subgraph', () => {
  it('puts one node in the place of many, with a port for each output that crosses its border', () => {
    const { edit, node } = made();
    const definition = edit.whole.subgraphs['soft']!;
    expect(edit.doc.nodes[node]).toEqual({ type: 'subgraph/soft', inputs: { image: link('load', 'image') } });
    expect(definition.inputs).toEqual([{ name: 'image', type: 'image', mapped: true }]);
    expect(definition.outputs).toEqual([{ name: 'image', type: 'image' }]);
    expect(edit.doc.nodes['save']!.inputs['image']).toEqual(link(node, 'image'));
    expect(edit.doc.nodes['other']!.inputs['image']).toEqual(link(node, 'image'));
    expect(definition.nodes['soft']!.inputs).toEqual({ image: link('in', 'image'), radius: 3 });
    expect(definition.nodes['out']!.inputs).toEqual({ image: link('softer', 'image') });
    expect(Object.keys(edit.doc.nodes).sort()).toEqual([node, 'load', 'other', 'save']);
  });

  it('gives two ports of one name different ones, and one output one port', () => {
    const start = doc({
      a: ['Load', { file: 'a' }],
      x: ['Blur', { image: link('a', 'image') }],
      y: ['Blur', { image: link('a', 'image') }],
      z: ['Blur', { image: link('a', 'mask') }],
    });
    const { edit } = made(start, ['x', 'y', 'z']);
    expect(edit.whole.subgraphs['soft']!.inputs.map((port) => port.name)).toEqual(['image', 'image_2']);
  });

  it('keeps range, default and look of a setting that was linked', () => {
    const start = doc({
      n: ['Sum', { a: 1 }],
      b: ['Blur', { image: link('l', 'image'), radius: link('n', 'sum') }],
      l: ['Load', { file: 'a' }],
    });
    const { edit } = made({ ...start, layout: { b: { held: { radius: 4 } } } }, ['b']);
    const port = edit.whole.subgraphs['soft']!.inputs.find((one) => one.name === 'radius');
    expect(port).toEqual({ name: 'radius', type: 'float', default: 4, widget: { kind: 'number' }, minimum: 0, maximum: 10 });
  });

  it('knows the nodes that would have to go in too', () => {
    expect(nodesBetween(START, ['load', 'softer'])).toEqual(['soft']);
    expect(nodesBetween(START, ['soft', 'softer'])).toEqual([]);
  });

  it('has ports for what is still open, so that it can be used elsewhere', () => {
    const { edit, node } = made(doc({ b: ['Blur', { radius: 3 }], c: ['Blur', { image: link('b', 'image') }], d: ['Save', {}] }), [
      'b',
      'c',
    ]);
    const { inputs, outputs, nodes } = edit.whole.subgraphs['soft']!;
    expect(inputs.map((port) => port.name)).toEqual(['image']);
    expect(outputs.map((port) => [port.name, port.type])).toEqual([['image', 'image']]);
    expect(nodes['b']!.inputs['image']).toEqual(link('in', 'image'));
    expect(nodes['out']!.inputs).toEqual({ image: link('c', 'image') });
    expect(edit.doc.nodes[node]!.inputs).toEqual({});
  });

  it('takes along notes and frames among the nodes, and leaves the others where they are', () => {
    const box = (x: number) => ({ x, y: 0, width: 100, height: 100 });
    const start = {
      ...doc({ a: ['Sum', {}], b: ['Sum', {}], c: ['Sum', {}], between: ['Note', {}], framed: ['Note', {}], away: ['Note', {}] }),
      groups: [
        { title: 'holds a', bounding: [-20, -140, 140, 260] as const },
        { title: 'holds b and c', bounding: [180, -20, 340, 140] as const },
        { title: 'empty', bounding: [900, 0, 10, 10] as const },
      ],
    };
    const boxes = {
      a: box(0),
      b: box(200),
      c: box(400),
      between: { x: 120, y: 20, width: 60, height: 60 },
      framed: { x: 0, y: -120, width: 60, height: 60 },
      away: box(800),
    };
    const edit = new Edit(start);
    const node = makeSubgraph(edit, ['a', 'b'], CATALOG, boxes, 'Soft')!;
    const inside = edit.whole.subgraphs['soft']!;
    expect(Object.keys(inside.nodes).sort()).toEqual(['a', 'b', 'between', 'framed', 'in', 'out']);
    expect(inside.groups.map((group) => group.title)).toEqual(['holds a']);
    expect(edit.doc.groups.map((group) => group.title)).toEqual(['holds b and c', 'empty']);
    expect(Object.keys(edit.doc.nodes).sort()).toEqual(['away', 'c', node].sort());
    unpack(edit, node);
    expect(edit.doc.groups.map((group) => group.title)).toEqual(['holds b and c', 'empty', 'holds a']);
  });

  it('works inside another one', () => {
    const { edit } = made();
    const inner = edit.within('soft');
    const node = makeSubgraph(inner, ['softer'], catalogAt(CATALOG, edit.whole, 'soft'), {}, 'Inner')!;
    expect(edit.whole.subgraphs['soft']!.nodes[node]!.type).toBe('subgraph/inner');
    expect(edit.whole.subgraphs['soft']!.nodes['out']!.inputs).toEqual({ image: link(node, 'image') });
  });

  it('is one step that is undone', () => {
    const log = perform(startHistory(START), 'Make', (edit) => void makeSubgraph(edit, ['soft'], CATALOG, {}));
    expect(log.past).toHaveLength(1);
    expect(undo(log).doc).toEqual(START);
  });
});

describe('taking it apart', () => {
  it('gives back what was there, under new ids', () => {
    const { edit, node } = made();
    const ids = unpack(edit, node);
    expect(edit.whole.subgraphs).toEqual({});
    const [soft, softer] = ids.map((id) => edit.doc.nodes[id]!);
    expect(soft!.inputs).toEqual({ image: link('load', 'image'), radius: 3 });
    expect(softer!.inputs).toEqual({ image: link(ids[0]!, 'image'), radius: 5 });
    expect(edit.doc.nodes['save']!.inputs['image']).toEqual(link(ids[1]!, 'image'));
  });

  it('takes values that were set outside, and keeps the definition while it is used', () => {
    const { edit, node } = made();
    const port = exposeInput(edit.within('soft'), 'soft', 'radius', CATALOG)!;
    edit.set(['nodes', node, 'inputs', port], 7);
    const [copy] = pasteNodes(edit, copyNodes(edit.doc, [node]), null, true);
    const [soft] = unpack(edit, node);
    expect(edit.doc.nodes[soft!]!.inputs['radius']).toBe(7);
    expect(edit.doc.nodes[copy!]!.type).toBe('subgraph/soft');
  });
});

describe('ports', () => {
  it('are made of a setting inside, with its value as the default', () => {
    const { edit, node } = made();
    expect(exposeInput(edit.within('soft'), 'softer', 'radius', CATALOG)).toBe('radius');
    const spec = catalogAt(CATALOG, edit.whole, null).spec('subgraph/soft')!;
    expect(spec.inputs['radius']).toMatchObject({ type: 'float', default: 5, required: false, minimum: 0, maximum: 10 });
    expect(edit.whole.subgraphs['soft']!.nodes['softer']!.inputs['radius']).toEqual(link('in', 'radius'));
    expect(edit.doc.nodes[node]!.inputs['radius']).toBeUndefined();
  });

  it('are made of an output inside', () => {
    const { edit } = made();
    expect(exposeOutput(edit.within('soft'), { node: 'soft', output: 'image' }, CATALOG)).toBe('image_2');
    expect(edit.whole.subgraphs['soft']!.nodes['out']!.inputs['image_2']).toEqual(link('soft', 'image'));
  });

  it('are renamed outside and inside alike', () => {
    const { edit, node } = made();
    renamePort(edit, 'soft', 'inputs', 'image', 'picture');
    renamePort(edit, 'soft', 'outputs', 'image', 'result');
    const { nodes } = edit.whole.subgraphs['soft']!;
    expect(edit.doc.nodes[node]!.inputs).toEqual({ picture: link('load', 'image') });
    expect(nodes['soft']!.inputs['image']).toEqual(link('in', 'picture'));
    expect(nodes['out']!.inputs).toEqual({ result: link('softer', 'image') });
    expect(edit.doc.nodes['save']!.inputs['image']).toEqual(link(node, 'result'));
  });

  it('never get the name of another one', () => {
    const { edit } = made();
    exposeInput(edit.within('soft'), 'soft', 'radius', CATALOG);
    renamePort(edit, 'soft', 'inputs', 'radius', 'image');
    expect(edit.whole.subgraphs['soft']!.inputs.map((port) => port.name)).toEqual(['image', 'image_2']);
  });

  it('are ordered and removed', () => {
    const { edit, node } = made();
    exposeInput(edit.within('soft'), 'soft', 'radius', CATALOG);
    movePort(edit, 'soft', 'inputs', 'radius', -1);
    expect(edit.whole.subgraphs['soft']!.inputs.map((port) => port.name)).toEqual(['radius', 'image']);
    removePort(edit, 'soft', 'inputs', 'image');
    removePort(edit, 'soft', 'outputs', 'image');
    expect(edit.doc.nodes[node]!.inputs).toEqual({});
    expect(edit.whole.subgraphs['soft']!.nodes['soft']!.inputs['image']).toBeUndefined();
    expect(edit.doc.nodes['save']!.inputs['image']).toBeUndefined();
    removePort(edit, 'soft', 'inputs', 'radius');
    expect(edit.whole.subgraphs['soft']!.nodes['soft']!.inputs['radius']).toBe(3);
  });

  it('follow the type of what they are connected to inside', () => {
    const { edit } = made();
    const inner = edit.within('soft');
    const catalog = catalogAt(CATALOG, edit.whole, 'soft');
    const sum = addNode(inner, catalog.spec('Sum')!, [0, 0]);
    edit.set(['subgraphs', 'soft', 'inputs'], [...edit.whole.subgraphs['soft']!.inputs, { name: 'n', type: '*' }]);
    connect(inner, { node: 'in', output: 'n' }, sum, 'a');
    followTypes(inner, catalog);
    expect(edit.whole.subgraphs['soft']!.inputs[1]).toEqual({ name: 'n', type: 'int', widget: { kind: 'number' }, default: 0 });
  });
});

describe('what the catalogue tells', () => {
  it('an instance is a node of its types, and connections to it are judged by them', () => {
    const { edit, node } = made();
    const catalog = catalogAt(CATALOG, edit.whole, null);
    const view = inferenceOf(edit.doc, catalog);
    expect(catalog.spec('subgraph/soft')).toMatchObject({ title: 'Soft', outputs: { image: { type: 'image' } } });
    expect(view.canConnect({ node: 'load', output: 'mask' }, node, 'image')).toMatchObject({ ok: true, cast: true });
    expect(view.canConnect({ node, output: 'image' }, node, 'image').ok).toBe(false);
  });

  it('offers no subgraph inside itself, and the border nodes only inside', () => {
    const { edit } = made();
    const inside = catalogAt(CATALOG, edit.whole, 'soft');
    expect(inside.spec('subgraph/soft')).toBeUndefined();
    expect(inside.spec('SubgraphInputs')!.outputs).toHaveProperty('image');
    expect(catalogAt(CATALOG, edit.whole, null).spec('SubgraphInputs')).toBeUndefined();
  });

  it('is the same as long as no port or name changes', () => {
    const { edit } = made();
    const before = catalogAt(CATALOG, edit.whole, 'soft');
    moveNodes(edit.within('soft'), { soft: [50, 60] });
    expect(catalogAt(CATALOG, edit.whole, 'soft')).toBe(before);
  });

  it('has room for a picture if something inside shows one', () => {
    const { edit } = made(START, ['softer', 'save']);
    expect(catalogAt(CATALOG, edit.whole, null).spec('subgraph/soft')!.output_node).toBe(true);
  });
});

describe('levels', () => {
  it('are found by the nodes on the way, as far as there are any', () => {
    const { edit, node } = made();
    expect(levelsAt(edit.whole, [node, 'gone'])).toEqual([{ node, id: 'soft' }]);
    expect(viewOf(edit.whole, 'soft').nodes).toBe(edit.whole.subgraphs['soft']!.nodes);
    expect(viewOf(edit.whole, 'soft')).toBe(viewOf(edit.whole, 'soft'));
  });

  it('border nodes stay, and are not copied', () => {
    const { edit } = made();
    const inner = edit.within('soft');
    deleteNodes(inner, ['in', 'soft', 'out'], CATALOG);
    expect(Object.keys(inner.doc.nodes)).toEqual(['in', 'softer', 'out']);
    expect(Object.keys(copyNodes(inner.doc, ['in', 'softer']).nodes)).toEqual(['softer']);
  });
});

describe('copies', () => {
  it('bring their definitions along into another workflow, nested ones too', () => {
    const { edit, node } = made();
    makeSubgraph(edit.within('soft'), ['softer'], CATALOG, {}, 'Inner');
    const there = new Edit(doc({}));
    const [id] = pasteNodes(there, copyNodes(edit.doc, [node]), null, false);
    expect(Object.keys(there.whole.subgraphs).sort()).toEqual(['inner', 'soft']);
    expect(there.doc.nodes[id!]!.type).toBe('subgraph/soft');
  });

  it('get a new definition where another one has the id, down to those that use it', () => {
    const { edit, node } = made();
    makeSubgraph(edit.within('soft'), ['softer'], CATALOG, {}, 'Inner');
    const fragment = copyNodes(edit.doc, [node]);
    const inner = edit.within('inner');
    edit.set(['subgraphs', 'inner', 'nodes', 'softer', 'inputs', 'radius'], 9);
    const [id] = pasteNodes(edit, fragment, null, false);
    const type = edit.doc.nodes[id!]!.type;
    expect(type).toBe('subgraph/soft_2');
    const instance = Object.values(edit.whole.subgraphs['soft_2']!.nodes).find((entry) => entry.type.startsWith('subgraph/'));
    expect(instance!.type).toBe('subgraph/inner_2');
    expect(inner.doc.nodes['softer']!.inputs['radius']).toBe(9);
  });

  it('are never put inside themselves', () => {
    const { edit, node } = made();
    expect(pasteNodes(edit.within('soft'), copyNodes(edit.doc, [node, 'load']), null, false)).toHaveLength(1);
  });

  it('are made independent', () => {
    const { edit, node } = made();
    const [copy] = pasteNodes(edit, copyNodes(edit.doc, [node]), null, true);
    const id = makeIndependent(edit, copy!)!;
    edit.set(['subgraphs', id, 'nodes', 'soft', 'inputs', 'radius'], 1);
    expect(edit.whole.subgraphs['soft']!.nodes['soft']!.inputs['radius']).toBe(3);
    expect(edit.doc.nodes[copy!]!.type).toBe(`subgraph/${id}`);
    expect(asLink(linkValue({ node: copy!, output: 'image' }))).not.toBeNull();
  });
});

describe('files with subgraphs', () => {
  it('are filled in where parts are missing', () => {
    const found = checkDocument({ nodegraph: 1, nodes: {}, subgraphs: { s: { nodes: { a: { type: 'A' } } } } });
    expect(found.subgraphs['s']).toEqual({
      name: '',
      inputs: [],
      outputs: [],
      nodes: { a: { type: 'A', inputs: {} } },
      layout: {},
      groups: [],
    });
  });

  it.each([[{ s: 3 }], [{ s: { nodes: [] } }], [{ s: { inputs: [{ type: 'int' }] } }], [{ s: { nodes: { a: {} } } }], [{ 'a/b': {} }]])(
    'of the wrong form are refused: %j',
    (subgraphs) => {
      expect(() => checkDocument({ nodegraph: 1, nodes: {}, subgraphs: subgraphs as never })).toThrow(NotAWorkflow);
    },
  );
});
