/** Laws that hold for any sequence of edits. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Edit } from '../src/document/change';
import { duplicateNodes } from '../src/document/edits/clipboard';
import { addGroup, changeGroup, deleteGroups, fitGroup } from '../src/document/edits/groups';
import { connect, disconnect, leadVia, resetInput, setInput } from '../src/document/edits/links';
import { addNode, deleteNodes, moveNodes, resizeNode, setColor, setTitle, toggleCollapsed, toggleMode } from '../src/document/edits/nodes';
import { addReroute, moveReroute, moveReroutes, removeReroute } from '../src/document/edits/reroutes';
import { replaceDocument } from '../src/document/edits/whole';
import { type History, perform, redo, startHistory, undo } from '../src/document/history';
import { inferenceOf } from '../src/document/inference';
import { checkDocument, type Doc, linksInto, readDocument, writeDocument } from '../src/document/model';
import { CATALOG, doc, link } from './fixtures';

const START: Doc = {
  ...doc({
    load: ['Load', { file: 'a.png', extra: { keep: [1, 2] } }],
    blur: ['Blur', { image: link('load', 'image'), radius: 3 }],
    sum: ['Sum', { a: 12345, b: 1 }],
    odd: ['NotInstalled', { x: link('sum', 'sum'), y: 'z' }],
    save: ['Save', { image: link('blur', 'image') }],
  }),
  meta: { title: 'laws', more: { a: 1 } },
};

const OTHER: Doc = { ...doc({ sum: ['Sum', { a: 1 }], blur: ['Blur', { radius: 4 }] }), groups: [{ title: 'g', bounding: [0, 0, 1, 1] }] };

type Step = (edit: Edit) => void;
type Act = (pick: (i: number) => string, a: number, b: number) => Step;
const TYPES = Object.keys(CATALOG.specs);

function wire(edit: Edit, from: string, to: string, a: number, b: number): void {
  const outputs = Object.keys(CATALOG.spec(edit.doc.nodes[from]?.type ?? '')?.outputs ?? {});
  const inputs = Object.keys(CATALOG.spec(edit.doc.nodes[to]?.type ?? '')?.inputs ?? {});
  if (outputs.length === 0 || inputs.length === 0) return;
  const source = { node: from, output: outputs[a % outputs.length]! };
  const input = inputs[b % inputs.length]!;
  if (inferenceOf(edit.doc, CATALOG).canConnect(source, to, input).ok) connect(edit, source, to, input);
}

const ACTS: readonly Act[] = [
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
  (pick, a, b) => (edit) => moveNodes(edit, { [pick(a)]: [b, a] }),
  (pick, a, b) => (edit) => resizeNode(edit, pick(a), [a, b]),
  (pick, a, b) => (edit) => setColor(edit, [pick(a)], b % 2 ? '#334' : null),
  (pick, a, b) => (edit) => setTitle(edit, pick(a), b % 3 ? `t${b}` : ''),
  (pick, a) => (edit) => toggleCollapsed(edit, [pick(a)]),
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
  (_, __, b) => (edit) => replaceDocument(edit, b % 2 ? OTHER : START),
];

const steps = fc.array(fc.tuple(fc.nat(ACTS.length - 1), fc.nat(40), fc.nat(40)), { maxLength: 40 });

function play(plan: readonly (readonly [number, number, number])[]): History {
  let log = startHistory(START);
  for (const [act, a, b] of plan) {
    const ids = Object.keys(log.doc.nodes);
    if (ids.length === 0) continue;
    const pick = (i: number): string => ids[i % ids.length]!;
    log = perform(log, 'step', ACTS[act]!(pick, a, b), a % 4 ? '' : 'joined', b);
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
        const view = inferenceOf(end, CATALOG);
        for (const [id, entry] of Object.entries(end.nodes)) {
          for (const [, from] of linksInto(entry)) {
            expect(Object.hasOwn(end.nodes, from.node)).toBe(true);
            expect(view.dependsOn(from.node, id)).toBe(false);
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
