/** Where everything of a node is, from its description alone: nothing has to be measured in the page. All numbers are multiples of 4 px. */
import type { InputSpec, NodeSpec } from './catalog';
import { get } from './json';
import { asLink, type Doc, NOTE, type NodeEntry, type NodeLayout, type Point } from './model';

export const GRID = 4;
export const HEADER = 28;
export const ROW = 24;
export const WIDGET = 28;
export const TEXT = 92;
export const PICTURE = 160;
export const SHOWN = 252;
export const MIN_WIDTH = 180;
export const WIDTH = 260;
const FOOT = 8;
/** one row to unfold one row would save nothing */
const LEAST_FOLDED = 2;

export type Row =
  | { readonly kind: 'slots'; readonly input: string | null; readonly output: string | null; readonly y: number; readonly height: number }
  | { readonly kind: 'widget'; readonly input: string; readonly y: number; readonly height: number }
  | { readonly kind: 'shown'; readonly y: number; readonly height: number }
  /** behind it are inputs that nobody needs to set, and nobody has */
  | { readonly kind: 'more'; readonly count: number; readonly open: boolean; readonly y: number; readonly height: number };

export interface Geometry {
  readonly width: number;
  readonly height: number;
  readonly minHeight: number;
  readonly rows: readonly Row[];
}

export interface HandlePlace {
  readonly name: string;
  readonly side: 'input' | 'output';
  readonly y: number;
}

export function snap(value: number, step = GRID): number {
  return Math.round(value / step) * step;
}

function widgetHeight(input: InputSpec, linked: boolean): number {
  if (linked) return ROW;
  if (input.widget?.kind === 'text' && input.widget.multiline === true) return TEXT;
  return input.widget?.kind === 'file' && input.widget.accept === 'image' ? PICTURE : WIDGET;
}

function stretches(input: InputSpec | undefined): boolean {
  return (input?.widget?.kind === 'text' && input.widget.multiline === true) || input?.widget?.kind === 'file';
}

/** `shows`: room is kept for a picture. A node without a description gets a row for each name that its links use. */
export function geometryOf(
  spec: NodeSpec | undefined,
  entry: NodeEntry,
  layout: NodeLayout | undefined,
  shows: boolean,
  used: readonly string[] = [],
): Geometry {
  const width = snap(Math.max(MIN_WIDTH, layout?.size?.[0] ?? WIDTH));
  if (layout?.collapsed === true) return { width, height: HEADER, minHeight: HEADER, rows: [] };
  const all = spec === undefined ? unknownInputs(entry) : Object.entries(spec.inputs);
  const spare = all.filter(([name, input]) => isSpare(entry, name, input));
  const folds = spare.length >= LEAST_FOLDED;
  const open = layout?.more === true;
  const inputs = folds && !open ? all.filter((one) => !spare.includes(one)) : all;
  const bare = inputs.filter(([, input]) => input.widget === undefined).map(([name]) => name);
  const outputs = shownOutputs(spec, used);
  const rows: Row[] = [];
  let y = HEADER + 4;
  const add = (row: Row): void => {
    rows.push(row);
    y += row.height;
  };
  for (let i = 0; i < Math.max(bare.length, outputs.length); i++) {
    add({ kind: 'slots', input: bare[i] ?? null, output: outputs[i] ?? null, y, height: ROW });
  }
  for (const [name, input] of inputs) {
    if (input.widget === undefined) continue;
    add({ kind: 'widget', input: name, y, height: widgetHeight(input, asLink(get(entry.inputs, name)) !== null) });
  }
  if (folds) add({ kind: 'more', count: spare.length, open, y, height: ROW });
  if (shows) add({ kind: 'shown', y, height: SHOWN });
  const minHeight = y + FOOT;
  const height = snap(Math.max(minHeight, layout?.size?.[1] ?? 0));
  return { width, height, minHeight, rows: stretched(rows, height - minHeight, spec, entry) };
}

/** The outputs that a node shows: of a known type all, of a remark and of an unknown one those that links use. */
export function shownOutputs(spec: NodeSpec | undefined, used: readonly string[]): readonly string[] {
  return spec === undefined || spec.id === NOTE ? used : Object.keys(spec.outputs);
}

/** An input that does nothing unless it is set, and is not. */
function isSpare(entry: NodeEntry, name: string, input: InputSpec): boolean {
  const value = get(entry.inputs, name) ?? null;
  return value === null && !input.required && (input.widget === undefined || input.optional === true);
}

/** Room that is left goes to the picture, else to the first text of several lines. */
function stretched(rows: Row[], room: number, spec: NodeSpec | undefined, entry: NodeEntry): Row[] {
  if (room <= 0) return rows;
  const isText = (row: Row): boolean =>
    row.kind === 'widget' && stretches(spec && get(spec.inputs, row.input)) && asLink(get(entry.inputs, row.input)) === null;
  const picture = rows.findIndex((row) => row.kind === 'shown');
  const at = picture >= 0 ? picture : rows.findIndex(isText);
  if (at < 0) return rows;
  return rows.map((row, i) => (i < at ? row : i === at ? { ...row, height: row.height + room } : { ...row, y: row.y + room }));
}

function unknownInputs(entry: NodeEntry): [string, InputSpec][] {
  return Object.keys(entry.inputs).map((name) => [name, { type: '*', required: false }]);
}

/** Where links end, in the middle of a handle, measured from the top of the node. A collapsed node has them all at its middle. */
export function handlesOf(geometry: Geometry, spec: NodeSpec | undefined, entry: NodeEntry, used: readonly string[] = []): HandlePlace[] {
  if (geometry.rows.length === 0) {
    const inputs = Object.keys(spec?.inputs ?? entry.inputs).map((name): HandlePlace => ({ name, side: 'input', y: HEADER / 2 }));
    return [...inputs, ...shownOutputs(spec, used).map((name): HandlePlace => ({ name, side: 'output', y: HEADER / 2 }))];
  }
  return geometry.rows.flatMap((row) => {
    const places: HandlePlace[] = [];
    if (row.kind === 'shown' || row.kind === 'more') return places;
    if (row.input !== null) places.push({ name: row.input, side: 'input', y: row.y + (row.kind === 'widget' ? WIDGET : ROW) / 2 });
    if (row.kind === 'slots' && row.output !== null) places.push({ name: row.output, side: 'output', y: row.y + ROW / 2 });
    return places;
  });
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function boundsOf(boxes: readonly Box[]): Box | null {
  if (boxes.length === 0) return null;
  const x = Math.min(...boxes.map((box) => box.x));
  const y = Math.min(...boxes.map((box) => box.y));
  const right = Math.max(...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(...boxes.map((box) => box.y + box.height));
  return { x, y, width: right - x, height: bottom - y };
}

export type Alignment = 'left' | 'center' | 'right' | 'top' | 'middle' | 'bottom' | 'columns' | 'rows';

/** New places that line boxes up, or spread them with equal gaps (`columns`: side by side, `rows`: one below the other). */
export function align(boxes: Readonly<Record<string, Box>>, how: Alignment): Record<string, Point> {
  const entries = Object.entries(boxes);
  const all = boundsOf(entries.map(([, box]) => box));
  if (all === null) return {};
  if (how === 'columns' || how === 'rows') return spread(entries, all, how);
  return Object.fromEntries(entries.map(([id, box]) => [id, alignedTo(box, all, how)]));
}

function alignedTo(box: Box, all: Box, how: Exclude<Alignment, 'columns' | 'rows'>): Point {
  switch (how) {
    case 'left':
      return [all.x, box.y];
    case 'center':
      return [snap(all.x + (all.width - box.width) / 2), box.y];
    case 'right':
      return [all.x + all.width - box.width, box.y];
    case 'top':
      return [box.x, all.y];
    case 'middle':
      return [box.x, snap(all.y + (all.height - box.height) / 2)];
    case 'bottom':
      return [box.x, all.y + all.height - box.height];
  }
}

function spread(entries: [string, Box][], all: Box, how: 'columns' | 'rows'): Record<string, Point> {
  const across = how === 'columns';
  const start = (box: Box): number => (across ? box.x : box.y);
  const length = (box: Box): number => (across ? box.width : box.height);
  const sorted = [...entries].sort((a, b) => start(a[1]) - start(b[1]));
  const free = length(all) - sorted.reduce((sum, [, box]) => sum + length(box), 0);
  const gap = Math.max(24, free / Math.max(1, sorted.length - 1));
  const found: Record<string, Point> = {};
  let at = start(all);
  for (const [id, box] of sorted) {
    found[id] = across ? [snap(at), box.y] : [box.x, snap(at)];
    at += length(box) + gap;
  }
  return found;
}

/** A tidy arrangement from left to right: each node behind everything it depends on. `sizes`: by node. */
export function arrange(doc: Doc, sizes: Readonly<Record<string, Box>>): Record<string, Point> {
  const column = columnsOf(doc);
  const found: Record<string, Point> = {};
  let x = 0;
  for (let i = 0; i <= Math.max(0, ...column.values()); i++) {
    const ids = Object.keys(doc.nodes).filter((id) => column.get(id) === i);
    let y = 0;
    for (const id of ids.sort((a, b) => (get(sizes, a)?.y ?? 0) - (get(sizes, b)?.y ?? 0))) {
      found[id] = [x, y];
      y += snap((get(sizes, id)?.height ?? 100) + 40);
    }
    x += snap(Math.max(0, ...ids.map((id) => get(sizes, id)?.width ?? WIDTH)) + 80);
  }
  return found;
}

/** The length of the longest way to each node, found in order of dependence; nodes of a cycle keep what was found first. */
function columnsOf(doc: Doc): Map<string, number> {
  const waiting = new Map(Object.entries(doc.nodes).map(([id, entry]) => [id, sourcesOf(doc, entry).length]));
  const consumers = new Map<string, string[]>();
  for (const [id, entry] of Object.entries(doc.nodes)) {
    for (const source of sourcesOf(doc, entry)) consumers.set(source, [...(consumers.get(source) ?? []), id]);
  }
  const column = new Map<string, number>(Object.keys(doc.nodes).map((id) => [id, 0]));
  const ready = [...waiting].filter(([, count]) => count === 0).map(([id]) => id);
  for (const id of ready) {
    for (const consumer of consumers.get(id) ?? []) {
      column.set(consumer, Math.max(column.get(consumer) ?? 0, (column.get(id) ?? 0) + 1));
      const left = (waiting.get(consumer) ?? 0) - 1;
      waiting.set(consumer, left);
      if (left === 0) ready.push(consumer);
    }
  }
  return column;
}

function sourcesOf(doc: Doc, entry: NodeEntry): string[] {
  return Object.values(entry.inputs)
    .map((value) => asLink(value)?.node)
    .filter((id): id is string => id !== undefined && Object.hasOwn(doc.nodes, id));
}
