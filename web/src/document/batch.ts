/** Batches: the same workflow with other values of up to three inputs, every value of one with every value of the others. */

import { evaluate } from './arithmetic';
import type { Catalog, InputSpec } from './catalog';
import { Edit } from './change';
import { setInput } from './edits/links';
import { get, type Json } from './json';
import { faultOf } from './literals';
import { asLink, type Doc } from './model';

export const MOST_AXES = 3;
export const MOST_RUNS = 200;

/** One input that varies. */
export interface Axis {
  readonly node: string;
  readonly input: string;
  readonly values: readonly Json[];
}

/** One run of a batch. place: of its value on each axis */
export interface Cell {
  readonly place: readonly number[];
  readonly values: readonly Json[];
}

/** Every combination; the first axis varies fastest. None without an axis, or if one has no values. */
export function cellsOf(axes: readonly Axis[]): Cell[] {
  if (axes.length === 0) return [];
  return axes.reduceRight<Cell[]>(
    (cells, axis) =>
      cells.flatMap((cell) => axis.values.map((value, i) => ({ place: [i, ...cell.place], values: [value, ...cell.values] }))),
    [{ place: [], values: [] }],
  );
}

export function countOf(axes: readonly Axis[]): number {
  return axes.length === 0 ? 0 : axes.reduce((count, axis) => count * axis.values.length, 1);
}

/** What keeps a batch from being run, in words for the user. */
export function faultOfBatch(axes: readonly Axis[]): string | null {
  const count = countOf(axes);
  if (count === 0) return 'Give at least one value for each input';
  const names = axes.map((axis) => JSON.stringify([axis.node, axis.input]));
  if (new Set(names).size < names.length) return 'An input is chosen twice';
  if (count > MOST_RUNS)
    return `${axes.map((axis) => axis.values.length).join(' × ')} = ${count} runs; at most ${MOST_RUNS} go into one batch`;
  return null;
}

/** The workflow of one cell. `level`: the subgraph whose nodes vary; null: those of the canvas. */
export function documentOf(whole: Doc, axes: readonly Axis[], cell: Cell, level: string | null = null): Doc {
  const edit = new Edit(whole, level);
  applyCell(edit, axes, cell);
  return edit.whole;
}

export function applyCell(edit: Edit, axes: readonly Pick<Axis, 'node' | 'input'>[], cell: Pick<Cell, 'values'>): void {
  axes.forEach((axis, i) => {
    if (Object.hasOwn(edit.doc.nodes, axis.node)) setInput(edit, axis.node, axis.input, cell.values[i]!);
  });
}

/** An input that can vary: it has a widget, and no link feeds it. */
export interface Variable {
  readonly node: string;
  readonly input: string;
  readonly title: string;
  readonly spec: InputSpec;
  readonly value: Json;
}

/** Those of nodes with a seed first, as these are what is varied most. */
export function variablesOf(doc: Doc, catalog: Catalog): Variable[] {
  const found = Object.entries(doc.nodes).flatMap(([node, entry]): Variable[] => {
    const spec = catalog.spec(entry.type);
    if (spec === undefined || entry.mode === 'muted') return [];
    return Object.entries(spec.inputs).flatMap(([input, one]): Variable[] => {
      const value = get(entry.inputs, input) ?? one.default ?? null;
      if (one.widget === undefined || asLink(value) !== null) return [];
      return [{ node, input, title: `${entry.title || spec.title} · ${input.replaceAll('_', ' ')}`, spec: one, value }];
    });
  });
  const sampled = new Set(found.filter((one) => one.spec.widget?.kind === 'seed').map((one) => one.node));
  return [...found.filter((one) => sampled.has(one.node)), ...found.filter((one) => !sampled.has(one.node))];
}

// ------------------------------------------------------------------------------------------------ values as they are typed

export interface Values {
  readonly values: readonly Json[];
  readonly fault: string | null;
}

/** Whether values are one a line, since commas belong to them. */
export function isByLine(spec: InputSpec): boolean {
  return spec.widget?.kind === 'text';
}

/** What is offered at first: a few seeds from the present one on; of anything else the present value. */
export function suggestion(variable: Variable, count = 4): string {
  const { spec, value } = variable;
  if (spec.widget?.kind === 'seed' && (typeof value === 'number' || typeof value === 'bigint')) {
    return `${value}..${BigInt(value) + BigInt(count - 1)}`;
  }
  return value === null ? '' : String(value);
}

/** Values from text such as `1..10/2`, `0.5, 0.7`, `euler, heun`; of a text input one a line. The same value twice counts once. */
export function parseValues(text: string, spec: InputSpec, catalog: Catalog): Values {
  const parts = (isByLine(spec) ? text.split('\n') : text.split(/[,\n]/)).map((part) => part.trim()).filter((part) => part !== '');
  const values: Json[] = [];
  for (const part of parts) {
    const found = valuesOf(part, spec);
    if (typeof found === 'string') return { values: [], fault: found };
    for (const value of found) {
      const fault = faultOf(spec, value, catalog);
      if (fault !== null) return { values: [], fault: `${shorten(String(value))} ${fault}` };
      if (!values.includes(value)) values.push(value);
    }
    if (values.length > MOST_RUNS) return { values: [], fault: `more than ${MOST_RUNS} values` };
  }
  return { values, fault: null };
}

/** The values that one part stands for, or what is wrong with it. */
function valuesOf(part: string, spec: InputSpec): readonly Json[] | string {
  if (spec.choices !== undefined) return chosen(part, spec.choices);
  switch (spec.widget?.kind) {
    case 'switch':
      return /^(true|on|yes|1)$/i.test(part)
        ? [true]
        : /^(false|off|no|0)$/i.test(part)
          ? [false]
          : `${shorten(part)} is neither true nor false`;
    case 'number':
    case 'slider':
    case 'seed':
      return numbers(part, spec.type === 'int');
    default:
      return [part];
  }
}

function chosen(part: string, choices: readonly Json[]): readonly Json[] | string {
  const found =
    choices.find((choice) => String(choice) === part) ?? choices.find((choice) => String(choice).toLowerCase() === part.toLowerCase());
  return found === undefined ? `${shorten(part)} is not one of its choices` : [found];
}

function numbers(part: string, isWhole: boolean): readonly Json[] | string {
  const range = /^(.+?)\s*\.\.\s*(.+?)(?:\s*\/\s*(\S+))?$/.exec(part);
  if (range === null) {
    const value = numberOf(part);
    return value === null ? `${shorten(part)} is not a number` : [value];
  }
  const [first, last] = [numberOf(range[1]!), numberOf(range[2]!)];
  const step = range[3] === undefined ? 1 : numberOf(range[3]);
  if (first === null || last === null || step === null) return `${shorten(part)} is not a range: write first..last or first..last/step`;
  if (Number(step) <= 0) return `${shorten(part)}: the step must be above 0`;
  return isWhole && [first, last, step].every(isInteger)
    ? wholeRange(BigInt(first), BigInt(last), BigInt(step))
    : steppedRange(Number(first), Number(last), Number(step));
}

function isInteger(value: number | bigint): boolean {
  return typeof value === 'bigint' || Number.isInteger(value);
}

/** Digits beyond what a number holds are kept. */
function numberOf(text: string): number | bigint | null {
  const trimmed = text.trim();
  if (/^-?\d{16,}$/.test(trimmed)) return plain(BigInt(trimmed));
  return evaluate(trimmed);
}

function plain(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function wholeRange(first: bigint, last: bigint, step: bigint): Json[] {
  const found: Json[] = [];
  const up = first <= last;
  for (let at = first; (up ? at <= last : at >= last) && found.length <= MOST_RUNS; at += up ? step : -step) found.push(plain(at));
  return found;
}

function steppedRange(first: number, last: number, step: number): Json[] {
  const count = Math.min(MOST_RUNS, Math.floor(Math.abs(last - first) / step + 1e-9));
  const by = last >= first ? step : -step;
  return Array.from({ length: count + 1 }, (_, i) => Number((first + i * by).toFixed(10)));
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}
