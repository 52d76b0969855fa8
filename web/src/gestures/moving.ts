/** Moving about with the keyboard: from node to node, into a node and out of it. */
import { moveNodes } from '../document/edits/nodes';
import { moveReroutes } from '../document/edits/reroutes';
import { type Point, positionOf } from '../document/model';
import { type Direction, neighbour } from '../document/neighbours';
import { currentDoc, perform, select, selectedNodes } from '../state/editor';
import { type Command, canvas, command } from './command';

const WIDGETS = '.row.widget :is(input:not([type=file]), textarea, [tabindex="0"], button)';
const FINE = 4;
const COARSE = 24;

export function elementOf(id: string): HTMLElement | null {
  return document.querySelector(`.react-flow__node[data-id="${CSS.escape(id)}"]`);
}

function go(way: Direction): void {
  const doc = currentDoc();
  const [first] = selectedNodes().slice(-1);
  const next = first === undefined ? entrance() : neighbour(doc, canvas().boxes(), first, way);
  if (next !== null) goTo(next);
}

/** The upper left node. */
function entrance(): string | null {
  const boxes = Object.entries(canvas().boxes()).filter(([id]) => Object.hasOwn(currentDoc().nodes, id));
  return boxes.sort(([, a], [, b]) => a.x + a.y - b.x - b.y)[0]?.[0] ?? null;
}

export function goTo(id: string): void {
  select([id]);
  canvas().reveal(id);
}

function nudge([dx, dy]: Point): void {
  const ids = selectedNodes();
  const places = Object.fromEntries(
    ids.map((id): [string, Point] => {
      const [x, y] = positionOf(currentDoc(), id);
      return [id, [x + dx, y + dy]];
    }),
  );
  perform(
    'Move',
    (edit) => {
      moveReroutes(edit, places);
      moveNodes(edit, places);
    },
    `nudge ${ids.join(' ')}`,
  );
}

/** Into the first widget of the selected node. */
function enter(): void {
  const [id] = selectedNodes();
  const widget = id === undefined ? null : elementOf(id)?.querySelector<HTMLElement>(WIDGETS);
  widget?.focus();
}

/** Out of a widget, to its node. Returns whether there was one to leave. */
export function leave(target: EventTarget | null): boolean {
  const node = target instanceof Element ? target.closest<HTMLElement>('.react-flow__node') : null;
  if (node === null || node === target) return false;
  node.focus({ preventScroll: true });
  return true;
}

const WAYS: readonly (readonly [Direction, string, string, Point])[] = [
  ['left', 'To what comes before', 'ArrowLeft', [-1, 0]],
  ['right', 'To what comes next', 'ArrowRight', [1, 0]],
  ['up', 'To the node above', 'ArrowUp', [0, -1]],
  ['down', 'To the node below', 'ArrowDown', [0, 1]],
];

export const MOVES: readonly Command[] = [
  ...WAYS.map(([way, label, key]) => command(`go-${way}`, label, 'Move about', key, () => go(way))),
  command('enter', 'Edit the first widget', 'Move about', 'Enter', enter),
  ...WAYS.map(([way, , key, [x, y]]) =>
    command(`move-${way}`, `Move ${way}`, 'Move about', `Mod+${key}`, () => nudge([x * COARSE, y * COARSE])),
  ),
  ...WAYS.map(([way, , key, [x, y]]) =>
    command(`move-${way}-little`, `Move ${way} a little`, 'Move about', `Mod+Shift+${key}`, () => nudge([x * FINE, y * FINE])),
  ),
];
