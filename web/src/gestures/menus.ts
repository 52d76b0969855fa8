/** What each context menu offers. */
import { disconnect, resetInput } from '../document/edits/links';
import { removeReroute } from '../document/edits/reroutes';
import { get } from '../document/json';
import { asLink, definitionOf, type Link, type NodeEntry } from '../document/model';
import { run } from '../state/actions';
import { change, currentCatalog, currentDoc, perform, select, selectedNodes } from '../state/editor';
import { endOfEdge } from '../state/flow';
import { showInfo } from '../state/info';
import { currentLevel, expose } from '../state/inside';
import type { OpenMenu } from '../state/menu';
import { openQuick } from '../state/quick';
import { looseEnd } from './canvas';
import { copySelected, paint, reroute } from './canvasCommands';
import { commandOf, paste } from './commands';

export type MenuItem =
  | { readonly kind: 'do'; readonly label: string; readonly keys: string; readonly checked?: boolean; readonly run: () => void }
  | { readonly kind: 'sub'; readonly label: string; readonly items: readonly MenuItem[] }
  | { readonly kind: 'colors'; readonly now: string | undefined; readonly pick: (color: string | null) => void }
  | { readonly kind: 'title'; readonly label: string }
  | { readonly kind: 'line' };

const LINE: MenuItem = { kind: 'line' };

function by(id: string, label?: string, checked?: boolean): MenuItem {
  const found = commandOf(id);
  return {
    kind: 'do',
    label: label ?? found.label,
    keys: found.keys[0] ?? '',
    run: found.run,
    ...(checked === undefined ? {} : { checked }),
  };
}

function act(label: string, work: () => void, keys = ''): MenuItem {
  return { kind: 'do', label, keys, run: work };
}

/** What a menu for this target holds, from top to bottom. */
export function itemsOf(open: OpenMenu): readonly MenuItem[] {
  const { target } = open;
  switch (target.kind) {
    case 'canvas':
      return canvasItems();
    case 'selection':
      return selectionItems();
    case 'node':
      return nodeItems(target.id, target.input);
    case 'group':
      return groupItems(target.index);
    case 'link':
      return linkItems(target.id, open);
    case 'reroute':
      return [
        act('Remove the reroute', () => perform('Remove a reroute', (edit) => removeReroute(edit, ...endOfEdge(target.id), target.index))),
      ];
  }
}

function canvasItems(): MenuItem[] {
  return [
    by('add', 'Add a node…'),
    by('note'),
    act('Paste', () => void pasteFromClipboard(), 'Mod+V'),
    LINE,
    by('all'),
    by('find', 'Find a node…'),
    by('tidy'),
    LINE,
    by('fit'),
    { kind: 'sub', label: 'Canvas', items: [by('keep-grid'), by('grid'), by('map'), by('wheel')] },
    { kind: 'sub', label: 'Theme', items: [by('theme-dark'), by('theme-light'), by('theme-system')] },
    LINE,
    by('undo'),
    by('redo'),
    by('keys'),
  ];
}

function alignItems(): MenuItem {
  const ids = ['left', 'center', 'right', 'top', 'middle', 'bottom', 'columns', 'rows', 'snap'];
  return { kind: 'sub', label: 'Align and spread', items: ids.map((id) => by(id)) };
}

function looks(now: string | undefined): MenuItem {
  return { kind: 'colors', now, pick: paint };
}

const ENDING = (): MenuItem[] => [by('duplicate'), act('Copy as JSON', () => void copySelected(), 'Mod+C'), LINE];
const DELETING = (): MenuItem[] => [by('delete'), by('dissolve')];

function selectionItems(): MenuItem[] {
  return [
    by('run-here', 'Run to here'),
    LINE,
    by('group', 'Group in a frame'),
    by('subgraph'),
    alignItems(),
    looks(undefined),
    LINE,
    by('mute'),
    by('bypass'),
    by('collapse'),
    LINE,
    ...ENDING(),
    by('fit-selected'),
    LINE,
    ...DELETING(),
  ];
}

function nodeItems(id: string, input: string | null): MenuItem[] {
  const doc = currentDoc();
  const [entry, layout] = [get(doc.nodes, id), get(doc.layout, id)];
  return [
    ...(input === null ? [] : inputItems(id, input)),
    act('Run to here', () => void run([id]), commandOf('run-here').keys[0]),
    act('Help and last run', () => showInfo(true), 'F1'),
    LINE,
    by('rename'),
    by('connect'),
    looks(layout?.color),
    by('collapse', 'Collapse', layout?.collapsed === true),
    by('mute', 'Mute', entry?.mode === 'muted'),
    by('bypass', 'Bypass', entry?.mode === 'bypassed'),
    LINE,
    ...ENDING(),
    by('group', 'Group in a frame'),
    ...subgraphItems(entry),
    ...DELETING(),
  ];
}

function subgraphItems(entry: NodeEntry | undefined): MenuItem[] {
  if (definitionOf(entry) === null) return [by('subgraph'), LINE];
  return [LINE, ...['inside', 'unpack', 'independent', 'publish'].map((id) => by(id)), LINE];
}

/** A widget becomes an input by being connected, and an input a widget again by being cut off: its value was held. */
function inputItems(id: string, input: string): MenuItem[] {
  const entry = get(currentDoc().nodes, id);
  const spec = get(currentCatalog().spec(entry?.type ?? '')?.inputs, input);
  if (spec === undefined) return [];
  const linked = asLink(get(entry?.inputs, input)) !== null;
  const found: MenuItem[] = [{ kind: 'title', label: input.replaceAll('_', ' ') }];
  found.push(act('Connect to…', () => openQuick({ kind: 'connect', node: id, input })));
  found.push(act('Feed from a new node…', () => feed(id, input)));
  if (currentLevel() !== null && !linked) found.push(act('Make it an input of the subgraph', () => expose(id, input)));
  if (linked) found.push(act(spec.widget === undefined ? 'Disconnect' : 'Back to a widget', () => cut(id, input)));
  else if (spec.widget !== undefined) found.push(act('Back to the default', () => perform('Reset', (edit) => resetInput(edit, id, input))));
  return [...found, LINE];
}

/** The palette, with what takes what flows along a link. */
function between(link: Link, into: { node: string; input: string }, { screen, flow }: OpenMenu): void {
  change({ palette: { screen, flow, loose: looseEnd(link.node, link.output, 'source'), into } });
}

function cut(id: string, input: string): void {
  perform('Disconnect', (edit) => disconnect(edit, id, input));
}

/** The palette, with what gives this input its value. */
function feed(id: string, input: string): void {
  const box = canvasBox(id);
  change({ palette: { screen: [box[0], box[1]], flow: [box[2] - 60, box[3]], loose: looseEnd(id, input, 'target') } });
}

function canvasBox(id: string): readonly [number, number, number, number] {
  const rect = document.querySelector(`.react-flow__node[data-id="${CSS.escape(id)}"]`)?.getBoundingClientRect();
  const [x, y] = get(currentDoc().layout, id)?.pos ?? [0, 0];
  return [rect?.left ?? 100, rect?.top ?? 100, x, y];
}

function groupItems(index: number): MenuItem[] {
  return [by('rename'), looks(currentDoc().groups[index]?.color), by('fit-group'), LINE, by('duplicate'), by('delete', 'Remove the frame')];
}

function linkItems(id: string, open: OpenMenu): MenuItem[] {
  const [node, input] = endOfEdge(id);
  const link = asLink(get(get(currentDoc().nodes, node)?.inputs, input));
  return [
    act('Add a reroute here', () => reroute(id, open.flow), 'R'),
    ...(link === null ? [] : [act('Put a node in between…', () => between(link, { node, input }, open))]),
    LINE,
    act('Go to its start', () => link && select([link.node])),
    act('Go to its end', () => select([node])),
    LINE,
    act('Cut', () => cut(node, input), 'Delete'),
  ];
}

async function pasteFromClipboard(): Promise<void> {
  const text = await navigator.clipboard?.readText().catch(() => null);
  if (text) paste(text);
}

/** Selects what a menu is opened for, unless it is part of what is selected. */
export function selectFor(id: string): boolean {
  const chosen = selectedNodes();
  if (chosen.includes(id)) return chosen.length > 1;
  select([id]);
  return false;
}
