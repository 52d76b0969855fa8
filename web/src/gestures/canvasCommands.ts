/** Commands for how nodes, groups and links look and lie, and for the canvas itself. */
import { copyText } from '../document/edits/clipboard';
import { changeGroup, fitGroup } from '../document/edits/groups';
import { addNode, moveNodes, setColor } from '../document/edits/nodes';
import { addReroute } from '../document/edits/reroutes';
import { type Alignment, align, HEADER, snap } from '../document/geometry';
import { get } from '../document/json';
import { asLink, type Point } from '../document/model';
import { currentCatalog, currentDoc, perform, select, selectedGroups, selectedNodes, tell, useEditor } from '../state/editor';
import { endOfEdge } from '../state/flow';
import { showInfo, useInfo } from '../state/info';
import { openMenu } from '../state/menu';
import { prefer, usePreferences } from '../state/preferences';
import { openQuick } from '../state/quick';
import { rename } from '../state/renaming';
import { type Command, canvas, command } from './command';
import { goTo } from './moving';

const COARSE = 24;

function lineUp(how: Alignment): void {
  const boxes = canvas().boxes();
  const chosen = Object.fromEntries(selectedNodes().flatMap((id) => (boxes[id] === undefined ? [] : [[id, boxes[id]]])));
  perform('Align', (edit) => moveNodes(edit, align(chosen, how)));
}

function snapSelected(): void {
  const doc = currentDoc();
  const places = Object.fromEntries(
    selectedNodes().map((id): [string, Point] => {
      const [x, y] = get(doc.layout, id)?.pos ?? [0, 0];
      return [id, [snap(x, COARSE), snap(y, COARSE)]];
    }),
  );
  perform('Snap to the grid', (edit) => moveNodes(edit, places));
}

function fitGroups(): void {
  const boxes = canvas().boxes();
  const nodes = Object.keys(currentDoc().nodes).flatMap((id) => boxes[id] ?? []);
  perform('Fit the group', (edit) => {
    for (const index of selectedGroups()) fitGroup(edit, index, nodes);
  });
}

/** The colour of everything that is selected; null for none. */
export function paint(color: string | null): void {
  const [nodes, groups] = [selectedNodes(), selectedGroups()];
  perform('Colour', (edit) => {
    setColor(edit, nodes, color);
    for (const index of groups) changeGroup(edit, index, { color: color ?? '#5b6472' });
  });
}

function addNote(at: Point): void {
  const spec = currentCatalog().spec('Note');
  if (spec === undefined) return;
  let id = '';
  perform('Add a note', (edit) => {
    id = addNode(edit, spec, [snap(at[0]), snap(at[1])]);
    edit.set(['layout', id, 'color'], '#94863a');
    edit.set(['layout', id, 'size'], [260, 160]);
  });
  select([id]);
}

/** Where a link starts and ends, nearly: at the sides of its nodes. */
function endsOf(node: string, input: string): readonly [Point, Point] | null {
  const link = asLink(get(get(currentDoc().nodes, node)?.inputs, input));
  const boxes = canvas().boxes();
  const [from, to] = [link && boxes[link.node], boxes[node]];
  if (!from || !to) return null;
  return [
    [from.x + from.width, from.y + HEADER],
    [to.x, to.y + HEADER],
  ];
}

/** A point that the link is led through: where it was clicked, else in its middle. */
export function reroute(id: string, at: Point | null): void {
  const [node, input] = endOfEdge(id);
  const ends = endsOf(node, input);
  if (ends === null) return;
  const [[ax, ay], [bx, by]] = ends;
  const [x, y] = at ?? [(ax + bx) / 2, (ay + by) / 2];
  perform('Add a reroute', (edit) => addReroute(edit, node, input, ends, [snap(x), snap(y)]));
}

function rerouteSelected(): void {
  for (const id of useEditor.getState().links) reroute(id, null);
}

function renameSelected(): void {
  const [id] = [...selectedNodes(), ...selectedGroups().map((index) => `group:${index}`)];
  if (id !== undefined) rename(id);
}

function connectSelected(): void {
  const [node] = selectedNodes();
  if (node === undefined) tell('Select a node first: what it gives and takes is listed then');
  else openQuick({ kind: 'connect', node, input: null });
}

/** The context menu of what is selected, opened by a key. */
function menu(): void {
  const [nodes, groups, links] = [selectedNodes(), selectedGroups(), [...useEditor.getState().links]];
  const [node] = nodes;
  const flow: Point = node === undefined ? canvas().pointer().flow : [canvas().boxes()[node]?.x ?? 0, canvas().boxes()[node]?.y ?? 0];
  const screen = node === undefined ? canvas().pointer().screen : canvas().toScreen([flow[0] + 24, flow[1] + HEADER]);
  if (nodes.length + groups.length > 1) openMenu({ target: { kind: 'selection' }, screen, flow });
  else if (node !== undefined) openMenu({ target: { kind: 'node', id: node, input: null }, screen, flow });
  else if (groups[0] !== undefined) openMenu({ target: { kind: 'group', index: groups[0] }, screen, flow });
  else if (links[0] !== undefined) openMenu({ target: { kind: 'link', id: links[0] }, screen, flow });
  else openMenu({ target: { kind: 'canvas' }, screen, flow });
}

/** Puts what is selected into the clipboard, as the text of a workflow. */
export async function copySelected(): Promise<void> {
  const text = copyText(currentDoc(), selectedNodes(), selectedGroups());
  try {
    await navigator.clipboard.writeText(text);
    tell('Copied as JSON');
  } catch {
    if (!document.execCommand('copy')) tell('This browser lets only its own key copy', 'info', 'press Ctrl+C');
  }
}

function walk(forward: boolean): void {
  const ids = Object.keys(currentDoc().nodes);
  const at = ids.indexOf(selectedNodes().at(-1) ?? '');
  const next = ids[(at + (forward ? 1 : -1) + ids.length) % ids.length];
  if (next !== undefined) goTo(next);
}

const theme = (value: 'dark' | 'light' | 'system') => (): void => prefer({ theme: value });

export const CANVAS_COMMANDS: readonly Command[] = [
  command('menu', 'Menu of what is selected', 'Edit', 'ContextMenu | Shift+F10', menu),
  command('copy', 'Copy as JSON', 'Edit', '', () => void copySelected()),
  command('rename', 'Edit the title', 'Nodes', 'F2', renameSelected),
  command('info', 'Help on the node, and its last run', 'Nodes', 'F1', () => showInfo(!useInfo.getState().open)),
  command('connect', 'Connect…', 'Nodes', 'L', connectSelected),
  command('reroute', 'Add a reroute to the link', 'Nodes', 'R', rerouteSelected),
  command('note', 'Add a note', 'Nodes', 'N', () => addNote(canvas().pointer().flow)),
  command('fit-group', 'Fit the group to its nodes', 'Nodes', 'Mod+Shift+G', fitGroups),
  command('center', 'Align centres', 'Nodes', 'Alt+C', () => lineUp('center')),
  command('right', 'Align right', 'Nodes', 'Alt+R', () => lineUp('right')),
  command('middle', 'Align middles', 'Nodes', 'Alt+M', () => lineUp('middle')),
  command('bottom', 'Align bottom', 'Nodes', 'Alt+B', () => lineUp('bottom')),
  command('snap', 'Snap to the grid', 'Nodes', 'Alt+S', snapSelected),
  command('find', 'Find a node', 'Move about', 'Mod+F', () => openQuick({ kind: 'find' })),
  command('next', 'To the next node', 'Move about', ']', () => walk(true)),
  command('previous', 'To the node before', 'Move about', '[', () => walk(false)),
  command('keep-grid', 'Keep to a coarse grid', 'View', 'G', () => prefer({ snap: !usePreferences.getState().snap })),
  command('grid', 'Grid', 'View', 'Shift+G', () => prefer({ grid: !usePreferences.getState().grid })),
  command('map', 'Map', 'View', 'Shift+M', () => prefer({ map: !usePreferences.getState().map })),
  command('wheel', 'Wheel: zoom, or move (trackpad)', 'View', '', toggleWheel),
  command('theme-dark', 'Dark theme', 'View', '', theme('dark')),
  command('theme-light', 'Light theme', 'View', '', theme('light')),
  command('theme-system', 'Theme of the system', 'View', '', theme('system')),
];

function toggleWheel(): void {
  const wheel = usePreferences.getState().wheel === 'zoom' ? 'pan' : 'zoom';
  prefer({ wheel });
  tell(wheel === 'pan' ? 'The wheel, or two fingers, move the canvas; pinch or Ctrl + wheel zooms' : 'The wheel zooms');
}
