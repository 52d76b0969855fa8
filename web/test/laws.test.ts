/** Laws that hold for any sequence of edits. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyCell } from '../src/document/batch';
import type { Catalog } from '../src/document/catalog';
import type { Edit } from '../src/document/change';
import { copyNodes, duplicateNodes, pasteNodes } from '../src/document/edits/clipboard';
import { addSource, addTaker, changeType, insertBetween } from '../src/document/edits/fixing';
import { addGroup, changeGroup, deleteGroups, fitGroup } from '../src/document/edits/groups';
import { connect, disconnect, leadVia, resetInput, setInput } from '../src/document/edits/links';
import {
  addNode,
  deleteNodes,
  moveNodes,
  resizeNode,
  setColor,
  setTitle,
  toggleCollapsed,
  toggleMode,
  toggleMore,
} from '../src/document/edits/nodes';
import { addReroute, moveReroute, moveReroutes, removeReroute } from '../src/document/edits/reroutes';
import {
  dropUnused,
  exposeInput,
  followTypes,
  makeIndependent,
  makeSubgraph,
  movePort,
  nodesBetween,
  removePort,
  renamePort,
  type Side,
  unpack,
} from '../src/document/edits/subgraphs';
import { replaceDocument } from '../src/document/edits/whole';
import type { Box } from '../src/document/geometry';
import { type History, perform, redo, startHistory, undo } from '../src/document/history';
import { inferenceOf } from '../src/document/inference';
import { checkDocument, type Doc, INLET, linksInto, OUTLET, positionOf, readDocument, viewOf, writeDocument } from '../src/document/model';
import { catalogAt, instancesIn, usedBy } from '../src/document/subgraphs';
import { CATALOG, doc, link } from './fixtures';

const START: Doc = {
  ...doc({
    load: ['Load', { file: 'a.png', extra: { keep: [1, 2] } }],
    blur: ['Blur', { image: link('load', 'image'), radius: 3 }],
    sum: ['Sum', { a: 12345, b: 1 }],
    odd: ['NotInstalled', { x: link('sum', 'sum'), y: 'z' }],
    save: ['Save', { image: link('blur', 'image') }],
    soft: ['subgraph/soft', { image: link('load', 'image') }],
  }),
  subgraphs: {
    soft: {
      name: 'Soft',
      inputs: [{ name: 'image', type: 'image', required: true }],
      outputs: [{ name: 'image', type: 'image', required: true }],
      nodes: {
        in: { type: 'SubgraphInputs', inputs: {} },
        b: { type: 'Blur', version: 1, inputs: { image: link('in', 'image'), radius: 3 } },
        out: { type: 'SubgraphOutputs', inputs: { image: link('b', 'image') } },
      },
      layout: {},
      groups: [],
    },
  },
  meta: { title: 'laws', more: { a: 1 } },
};

const OTHER: Doc = { ...doc({ sum: ['Sum', { a: 1 }], blur: ['Blur', { radius: 4 }] }), groups: [{ title: 'g', bounding: [0, 0, 1, 1] }] };

type Step = (edit: Edit) => void;
type Act = (pick: (i: number) => string, a: number, b: number) => Step;
const TYPES = Object.keys(CATALOG.specs);

const known = (edit: Edit): Catalog => catalogAt(CATALOG, edit.whole, edit.level);

function wire(edit: Edit, from: string, to: string, a: number, b: number): void {
  const catalog = known(edit);
  const outputs = Object.keys(catalog.spec(edit.doc.nodes[from]?.type ?? '')?.outputs ?? {});
  const inputs = Object.keys(catalog.spec(edit.doc.nodes[to]?.type ?? '')?.inputs ?? {});
  if (outputs.length === 0 || inputs.length === 0) return;
  const source = { node: from, output: outputs[a % outputs.length]! };
  const input = inputs[b % inputs.length]!;
  if (inferenceOf(edit.doc, catalog).canConnect(source, to, input).ok) connect(edit, source, to, input);
}

/** An input of a node, as the catalogue of its level knows it. */
function someInput(edit: Edit, node: string, i: number): string {
  const inputs = Object.keys(known(edit).spec(edit.doc.nodes[node]?.type ?? '')?.inputs ?? {});
  return inputs[i % inputs.length] ?? '';
}

function someOutput(edit: Edit, node: string, i: number): string | undefined {
  const outputs = Object.keys(known(edit).spec(edit.doc.nodes[node]?.type ?? '')?.outputs ?? {});
  return outputs[i % outputs.length];
}

/** A port of some definition. */
function port(edit: Edit, a: number, b: number, act: (id: string, side: Side, name: string) => void): void {
  const ids = Object.keys(edit.whole.subgraphs);
  const id = ids[a % ids.length];
  const side: Side = b % 2 ? 'inputs' : 'outputs';
  const ports = id === undefined ? [] : edit.whole.subgraphs[id]![side];
  if (id !== undefined && ports.length > 0) act(id, side, ports[b % ports.length]!.name);
}

const ON_SUBGRAPHS: readonly Act[] = [
  (pick, a, b) => (edit) => void makeGroup(edit, [pick(a), pick(b), pick(a + b)], `s ${a}`),
  (pick, a) => (edit) => void makeGroup(edit, [pick(a)], 'one'),
  (pick, a) => (edit) => void unpack(edit, pick(a)),
  (pick, a) => (edit) => void makeIndependent(edit, pick(a)),
  (pick, a, b) => (edit) => void exposeInput(edit, pick(a), someInput(edit, pick(a), b), known(edit)),
  (_, a, b) => (edit) => port(edit, a, b, (id, side, name) => renamePort(edit, id, side, name, `p${a % 3}`)),
  (_, a, b) => (edit) => port(edit, a, b, (id, side, name) => removePort(edit, id, side, name)),
  (_, a, b) => (edit) => port(edit, a, b, (id, side, name) => movePort(edit, id, side, name, (a % 3) - 1)),
  () => (edit) => followTypes(edit, known(edit)),
  () => (edit) => dropUnused(edit),
  (pick, a, b) => (edit) => void pasteNodes(edit, copyNodes(edit.doc, [pick(a), pick(b)]), [a, b], false),
];

function boxesOf(doc: Doc): Record<string, Box> {
  return Object.fromEntries(
    Object.keys(doc.nodes).map((id) => {
      const [x, y] = positionOf(doc, id);
      return [id, { x, y, width: 200, height: 100 }];
    }),
  );
}

function makeGroup(edit: Edit, ids: string[], name: string): void {
  if (nodesBetween(edit.doc, ids).length === 0) makeSubgraph(edit, ids, known(edit), boxesOf(edit.doc), name);
}

const ACTS: readonly Act[] = [
  ...ON_SUBGRAPHS,
  (_, a, b) => (edit) => void addNode(edit, CATALOG.spec(TYPES[a % TYPES.length]!)!, [a, b]),
  (pick, a) => (edit) => deleteNodes(edit, [pick(a)], CATALOG, false),
  (pick, a, b) => (edit) => deleteNodes(edit, [pick(a), pick(b)], CATALOG, true),
  (pick, a, b) => (edit) => wire(edit, pick(a), pick(b), a, b),
  (pick, a, b) => (edit) => wire(edit, pick(b), pick(a), b, a),
  (pick, a) => (edit) => {
    for (const [name] of linksInto(edit.doc.nodes[pick(a)]!)) disconnect(edit, pick(a), name);
  },
  (pick, a, b) => (edit) => setInput(edit, pick(a), 'radius', b),
  (pick, a) => (edit) => resetInput(edit, pick(a), 'radius'),
  (pick, a, b) => (edit) => applyCell(edit, [{ node: pick(a), input: 'radius' }], { values: [b] }),
  (pick, a, b) => (edit) => moveNodes(edit, { [pick(a)]: [b, a] }),
  (pick, a, b) => (edit) => resizeNode(edit, pick(a), [a, b]),
  (pick, a, b) => (edit) => setColor(edit, [pick(a)], b % 2 ? '#334' : null),
  (pick, a, b) => (edit) => setTitle(edit, pick(a), b % 3 ? `t${b}` : ''),
  (pick, a) => (edit) => toggleCollapsed(edit, [pick(a)]),
  (pick, a) => (edit) => toggleMore(edit, pick(a)),
  (pick, a, b) => (edit) => toggleMode(edit, [pick(a), pick(b)], a % 2 ? 'muted' : 'bypassed'),
  (pick, a, b) => (edit) => leadVia(edit, pick(a), 'image', b % 2 ? [[a, b]] : []),
  (pick, a, b) => (edit) => void duplicateNodes(edit, [pick(a), pick(b)]),
  (pick, a, b) => (edit) =>
    addReroute(
      edit,
      pick(a),
      'image',
      [
        [0, 0],
        [a, b],
      ],
      [b, a],
    ),
  (pick, a, b) => (edit) => moveReroute(edit, pick(a), 'image', b % 2, [a, b]),
  (pick, a, b) => (edit) => removeReroute(edit, pick(a), 'image', b % 2),
  (pick, a, b) => (edit) => moveReroutes(edit, { [pick(a)]: [a, b], [pick(b)]: [b, a] }),
  (_, a, b) => (edit) => fitGroup(edit, a % 3, [{ x: a, y: b, width: 20, height: 10 }]),
  (pick, a, b) => (edit) => void duplicateNodes(edit, [pick(a)], [b % 3]),
  (_, a, b) => (edit) => addGroup(edit, [{ x: a, y: b, width: 10, height: 10 }], `g${a}`),
  (_, a, b) => (edit) => changeGroup(edit, a % 3, { title: `h${b}` }),
  (_, a) => (edit) => deleteGroups(edit, [a % 3]),
  (pick, a, b) => (edit) => void addSource(edit, CATALOG.spec(TYPES[b % TYPES.length]!)!, pick(a), 'image', CATALOG),
  (pick, a, b) => (edit) => void insertBetween(edit, CATALOG.spec(TYPES[b % TYPES.length]!)!, pick(a), 'image', CATALOG),
  (pick, a, b) => (edit) => {
    const output = someOutput(edit, pick(a), b);
    if (output !== undefined) addTaker(edit, CATALOG.spec(TYPES[b % TYPES.length]!)!, { node: pick(a), output }, CATALOG);
  },
  (pick, a, b) => (edit) => changeType(edit, pick(a), CATALOG.spec(TYPES[b % TYPES.length]!)!),
  (_, __, b) => (edit) => replaceDocument(edit, b % 2 ? OTHER : START),
];

const steps = fc.array(fc.tuple(fc.nat(ACTS.length - 1), fc.nat(40), fc.nat(40)), { maxLength: 40 });

function play(plan: readonly (readonly [number, number, number])[]): History {
  let log = startHistory(START);
  for (const [act, a, b] of plan) {
    const levels = [null, ...Object.keys(log.doc.subgraphs)];
    const level = levels[(a + b) % levels.length]!;
    const ids = Object.keys(viewOf(log.doc, level).nodes);
    if (ids.length === 0) continue;
    const pick = (i: number): string => ids[i % ids.length]!;
    log = perform(log, 'step', ACTS[act]!(pick, a, b), a % 4 ? '' : 'joined', b, level);
  }
  return log;
}

function repeat(log: History, move: (log: History) => History): History {
  const next = move(log);
  return next === log ? log : repeat(next, move);
}

describe('any sequence of edits', () => {
  it('is undone to the very text it started from, and redone to its end', () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const log = play(plan);
        const start = repeat(log, undo);
        expect(writeDocument(start.doc)).toBe(writeDocument(START));
        expect(repeat(start, redo).doc).toEqual(log.doc);
      }),
      { numRuns: 300 },
    );
  });

  it('is undone in part and redone to the same', () => {
    fc.assert(
      fc.property(steps, fc.nat(20), (plan, back) => {
        const log = play(plan);
        let there = log;
        for (let i = 0; i < back; i++) there = undo(there);
        expect(repeat(there, redo).doc).toEqual(log.doc);
      }),
      { numRuns: 100 },
    );
  });

  it('leaves a document that is saved and loaded to the same', () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const text = writeDocument(play(plan).doc);
        expect(writeDocument(readDocument(text))).toBe(text);
      }),
      { numRuns: 100 },
    );
  });

  it('leaves no link from a node that is gone, and no cycle', () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const { doc: end } = play(plan);
        for (const level of [null, ...Object.keys(end.subgraphs)]) {
          const there = viewOf(end, level);
          const view = inferenceOf(there, catalogAt(CATALOG, end, level));
          for (const [id, entry] of Object.entries(there.nodes)) {
            for (const [, from] of linksInto(entry)) {
              expect(Object.hasOwn(there.nodes, from.node)).toBe(true);
              expect(view.dependsOn(from.node, id)).toBe(false);
            }
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('leaves subgraphs whose ports are those that links name, and none within itself', () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const { doc: end } = play(plan);
        for (const [id, definition] of Object.entries(end.subgraphs)) {
          expect(usedBy(end, instancesIn(definition.nodes)).has(id)).toBe(false);
          for (const entry of Object.values(definition.nodes)) {
            for (const [name, from] of linksInto(entry)) {
              if (definition.nodes[from.node]?.type === INLET) expect(definition.inputs.map((one) => one.name)).toContain(from.output);
              if (entry.type === OUTLET) expect(definition.outputs.map((one) => one.name)).toContain(name);
            }
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('keeps what is not known here', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (extra) => {
        const data = { ...extra, nodegraph: 1, nodes: {}, layout: {}, groups: [], subgraphs: {}, meta: {} };
        expect(JSON.parse(writeDocument(checkDocument(JSON.parse(JSON.stringify(data)))))).toEqual(JSON.parse(JSON.stringify(data)));
      }),
    );
  });
});
