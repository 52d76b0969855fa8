import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AFTER_RUN, asksForRun } from '../src/document/autorun';
import {
  type Axis,
  applyCell,
  cellsOf,
  countOf,
  documentOf,
  faultOfBatch,
  MOST_RUNS,
  parseValues,
  suggestion,
  variablesOf,
} from '../src/document/batch';
import type { InputSpec } from '../src/document/catalog';
import { setInput } from '../src/document/edits/links';
import { moveNodes, setTitle, toggleMode } from '../src/document/edits/nodes';
import { perform, redo, startHistory, undo } from '../src/document/history';
import { CATALOG, doc, link } from './fixtures';

const INT: InputSpec = { type: 'int', required: true, widget: { kind: 'number' }, minimum: 0, maximum: 2000 };
const SEED: InputSpec = { type: 'int', required: true, widget: { kind: 'seed' } };
const FLOAT: InputSpec = { type: 'float', required: true, widget: { kind: 'slider' }, minimum: -1, maximum: 20 };
const CHOICE: InputSpec = { type: 'str', required: true, widget: { kind: 'choice' }, choices: ['euler', 'heun', 'dpmpp_2m'] };
const SWITCH: InputSpec = { type: 'bool', required: true, widget: { kind: 'switch' } };
const TEXT: InputSpec = { type: 'str', required: true, widget: { kind: 'text', multiline: true } };

const values = (text: string, spec: InputSpec): unknown => {
  const found = parseValues(text, spec, CATALOG);
  return found.fault ?? found.values;
};

describe('values of a batch', () => {
  it('are numbers, sums and ranges with steps, upwards and downwards', () => {
    expect(values('1..10/2', INT)).toEqual([1, 3, 5, 7, 9]);
    expect(values('3..1', INT)).toEqual([3, 2, 1]);
    expect(values('5, 2*4, 5,\n1..2', INT)).toEqual([5, 8, 1, 2]);
    expect(values('0.1..0.5/0.1', FLOAT)).toEqual([0.1, 0.2, 0.3, 0.4, 0.5]);
    expect(values('1..-1/0.5', FLOAT)).toEqual([1, 0.5, 0, -0.5, -1]);
    expect(values('.5 .. 1.5 / .5', FLOAT)).toEqual([0.5, 1, 1.5]);
    expect(values('7..7', INT)).toEqual([7]);
    expect(values(' , ', INT)).toEqual([]);
  });

  it('keep every digit of large seeds', () => {
    expect(values('18446744073709551610..18446744073709551612', SEED)).toEqual([
      18446744073709551610n,
      18446744073709551611n,
      18446744073709551612n,
    ]);
    expect(values('9007199254740990..9007199254740992', SEED)).toEqual([9007199254740990, 9007199254740991, 9007199254740992n]);
  });

  it('are choices, switches and texts', () => {
    expect(values('euler, HEUN', CHOICE)).toEqual(['euler', 'heun']);
    expect(values('on, false, yes', SWITCH)).toEqual([true, false]);
    expect(values('a cat, red\n\n a dog ', TEXT)).toEqual(['a cat, red', 'a dog']);
  });

  it('are refused with the reason', () => {
    expect(values('x', INT)).toBe('x is not a number');
    expect(values('1..x', INT)).toMatch(/not a range: write first\.\.last/);
    expect(values('1..9/0', INT)).toMatch(/step must be above 0/);
    expect(values('1..9/-1', INT)).toMatch(/step must be above 0/);
    expect(values('1.5', INT)).toBe('1.5 wants int');
    expect(values('3000', INT)).toBe('3000 is above 2000');
    expect(values('lms', CHOICE)).toBe('lms is not one of its choices');
    expect(values('maybe', SWITCH)).toMatch(/neither true nor false/);
    expect(values('0..100000', INT)).toMatch(/above 2000|more than/);
    expect(values('0..1e300', FLOAT)).toMatch(/above 20|more than/);
    expect(values('1..1000000000000000000', SEED)).toBe(`more than ${MOST_RUNS} values`);
  });

  it('never throw, whatever is typed', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 30 }), fc.constantFrom(INT, SEED, FLOAT, CHOICE, SWITCH, TEXT), (text, spec) => {
        const found = parseValues(text, spec, CATALOG);
        expect(found.fault === null || found.values.length === 0).toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});

describe('a batch', () => {
  const start = doc({
    load: ['Load', { file: 'a.png' }],
    blur: ['Blur', { image: link('load', 'image'), radius: 3 }],
    sum: ['Sum', { a: link('blur', 'x'), b: 1 }],
  });
  const axes: Axis[] = [
    { node: 'blur', input: 'radius', values: [1, 2, 3] },
    { node: 'sum', input: 'b', values: [10, 20] },
  ];

  it('has every combination once, the first axis fastest', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }), (lengths) => {
        const some = lengths.map((length, i): Axis => ({ node: 'n', input: `i${i}`, values: Array.from({ length }, (_, k) => k) }));
        const cells = cellsOf(some);
        expect(cells.length).toBe(countOf(some));
        expect(new Set(cells.map((cell) => cell.place.join())).size).toBe(cells.length);
        expect(cells.every((cell) => cell.values.every((value, i) => value === some[i]!.values[cell.place[i]!]))).toBe(true);
      }),
    );
    expect(cellsOf(axes).map((cell) => cell.values)).toEqual([[1, 10], [2, 10], [3, 10], [1, 20], [2, 20], [3, 20]]); // biome-ignore format: a table
  });

  it('runs the workflow with those values, and leaves it as it is', () => {
    const made = documentOf(start, axes, cellsOf(axes)[4]!);
    expect([made.nodes['blur']!.inputs['radius'], made.nodes['sum']!.inputs['b']]).toEqual([2, 20]);
    expect(made.nodes['blur']!.inputs['image']).toEqual(link('load', 'image'));
    expect(start.nodes['blur']!.inputs['radius']).toBe(3);
    const after = perform(startHistory(start), 'x', (edit) => applyCell(edit, [{ node: 'gone', input: 'x' }], { values: [1] }));
    expect(after.doc).toBe(start);
  });

  it('has a limit, and says what is too much', () => {
    expect(faultOfBatch(axes)).toBeNull();
    expect(faultOfBatch([])).toMatch(/at least one/);
    expect(faultOfBatch([{ ...axes[0]!, values: [] }])).toMatch(/at least one/);
    expect(faultOfBatch([axes[0]!, axes[0]!])).toMatch(/twice/);
    const many = { node: 'sum', input: 'b', values: Array.from({ length: 100 }, (_, i) => i) };
    expect(faultOfBatch([axes[0]!, many])).toBe(`3 × 100 = 300 runs; at most ${MOST_RUNS} go into one batch`);
  });

  it('varies what has a widget and no link, seeds first', () => {
    const found = variablesOf(start, CATALOG).map((one) => `${one.node}.${one.input}`);
    expect(found).toContain('blur.radius');
    expect(found).not.toContain('blur.image');
    expect(found).not.toContain('sum.a');
    const variable = { node: 'x', input: 'seed', title: '', spec: SEED };
    expect(suggestion({ ...variable, value: 7 })).toBe('7..10');
    expect(suggestion({ ...variable, value: 2n ** 64n - 10n })).toBe('18446744073709551606..18446744073709551609');
    expect(suggestion({ ...variable, spec: FLOAT, value: 2.5 })).toBe('2.5');
    expect(suggestion({ ...variable, spec: FLOAT, value: null })).toBe('');
  });
});

describe('running by itself', () => {
  const start = startHistory(doc({ sum: ['Sum', { a: 1, b: 1 }] }));

  it('follows edits that change what runs, undo and redo', () => {
    const after = perform(start, 'Change', (edit) => setInput(edit, 'sum', 'a', 2));
    expect(asksForRun(start, after)).toBe(true);
    expect(asksForRun(after, undo(after))).toBe(true);
    expect(asksForRun(undo(after), redo(undo(after)))).toBe(true);
    expect(
      asksForRun(
        start,
        perform(start, 'Mute', (edit) => toggleMode(edit, ['sum'], 'muted')),
      ),
    ).toBe(true);
  });

  it('does not follow titles, places, and values set to what they are', () => {
    expect(asksForRun(start, start)).toBe(false);
    expect(
      asksForRun(
        start,
        perform(start, 'Move', (edit) => moveNodes(edit, { sum: [8, 8] })),
      ),
    ).toBe(false);
    expect(
      asksForRun(
        start,
        perform(start, 'Title', (edit) => setTitle(edit, 'sum', 'x')),
      ),
    ).toBe(false);
  });

  it('looks into subgraphs as well', () => {
    const inner = { name: 's', inputs: [], outputs: [], nodes: start.doc.nodes, layout: {}, groups: [] };
    const whole = startHistory({ ...start.doc, subgraphs: { s: inner } });
    const moved = perform(whole, 'Move', (edit) => moveNodes(edit.within('s'), { sum: [8, 8] }));
    expect(moved.doc).not.toBe(whole.doc);
    expect(asksForRun(whole, moved)).toBe(false);
    const changed = perform(whole, 'Change', (edit) => setInput(edit.within('s'), 'sum', 'a', 9));
    expect(asksForRun(whole, changed)).toBe(true);
    const made = documentOf(whole.doc, [{ node: 'sum', input: 'a', values: [7] }], { place: [0], values: [7] }, 's');
    expect(made.subgraphs['s']!.nodes['sum']!.inputs['a']).toBe(7);
    expect(made.nodes['sum']!.inputs['a']).toBe(1);
  });

  it('does not follow seeds that a run changed, so it never runs in circles', () => {
    const ran = perform(start, 'Seed', (edit) => setInput(edit, 'sum', 'a', 5), AFTER_RUN, 0);
    expect(asksForRun(start, ran)).toBe(false);
    const again = perform(ran, 'Seed', (edit) => setInput(edit, 'sum', 'a', 6), AFTER_RUN, 10);
    expect(again.past.length).toBe(1);
    expect(asksForRun(ran, again)).toBe(false);
    const edited = perform(again, 'Change', (edit) => setInput(edit, 'sum', 'b', 7));
    expect(asksForRun(again, edited)).toBe(true);
    expect(asksForRun(edited, undo(edited))).toBe(true);
    expect(asksForRun(again, undo(again))).toBe(true);
  });
});
