/** What one does with subgraphs: make, enter, leave, take apart; and how nodes inside are found in runs and problems. */
import {
  exposeInput,
  exposeOutput,
  makeIndependent,
  makeSubgraph,
  nodesBetween,
  renameDefinition,
  type Side,
  unpack,
} from '../document/edits/subgraphs';
import { enclosedBy } from '../document/enclosed';
import type { Box } from '../document/geometry';
import { get } from '../document/json';
import { type Doc, definitionOf, INLET, type NodeEntry, OUTLET, viewOf } from '../document/model';
import { levelsAt } from '../document/subgraphs';
import type { ErrorJson } from '../wire';
import { currentCatalog, currentDoc, type EditorState, goToLevel, perform, select, selectedNodes, tabOf, tell, useEditor } from './editor';
import { levelOf, pathOf, prefixOf } from './levels';
import type { NodeRun, useRuns } from './runs';

// ------------------------------------------------------------------------------------------------ finding

type Runs = ReturnType<typeof useRuns.getState>;

/** What runs tell of a node where one looks. */
export function runOf(runs: Runs, id: string): NodeRun | undefined {
  const tab = tabOf(useEditor.getState());
  return tab && get(runs.byTab[tab.id]?.nodes, prefixOf(tab) + id);
}

/** What is wrong with a node where one looks, or with something inside it. */
export function problemOf(state: EditorState, id: string): ErrorJson | undefined {
  if (state.problems.length === 0) return undefined;
  const whole = prefixOf(tabOf(state)) + id;
  return state.problems.find((one) => one.node === whole) ?? state.problems.find((one) => one.node?.startsWith(`${whole}/`));
}

/** The nodes to enter, and the node itself, that an id such as `5/1` means. */
function placeOf(doc: Doc, id: string): { readonly path: readonly string[]; readonly node: string } | null {
  if (Object.hasOwn(doc.nodes, id)) return { path: [], node: id };
  const parts = id.split('/');
  const path = levelsAt(doc, parts.slice(0, -1));
  const node = parts.slice(path.length).join('/');
  const there = viewOf(doc, path.at(-1)?.id ?? null);
  return Object.hasOwn(there.nodes, node) ? { path: path.map((one) => one.node), node } : null;
}

/** Shows and selects a node, wherever it is. */
export function goInside(id: string): boolean {
  const tab = tabOf(useEditor.getState());
  const place = tab && placeOf(tab.history.doc, id);
  if (!place) return false;
  if (place.path.join('/') !== pathOf(tab).join('/')) goToLevel(place.path);
  select([place.node]);
  return true;
}

/** How a node is called, with the subgraphs that it is in. */
export function titleAt(id: string): string {
  const tab = tabOf(useEditor.getState());
  const place = tab && placeOf(tab.history.doc, id);
  if (!place) return id;
  const { doc } = tab.history;
  const titles = [...place.path, place.node].map((node, i) => {
    const level = levelsAt(doc, place.path.slice(0, i)).at(-1)?.id ?? null;
    return nameOf(doc, get(viewOf(doc, level).nodes, node), node);
  });
  return titles.join(' › ');
}

function nameOf(doc: Doc, entry: NodeEntry | undefined, id: string): string {
  const definition = get(doc.subgraphs, definitionOf(entry) ?? '');
  return entry?.title || definition?.name || useEditor.getState().catalog.spec(entry?.type ?? '')?.title || id;
}

/** The names of the places from the canvas to where one looks. */
export function trail(state: EditorState): readonly { readonly name: string; readonly path: readonly string[] }[] {
  const tab = tabOf(state);
  if (tab?.at === undefined) return [];
  return levelsAt(tab.history.doc, tab.at).map(({ id }, i) => ({
    name: tab.history.doc.subgraphs[id]!.name || 'Subgraph',
    path: tab.at!.slice(0, i + 1),
  }));
}

// ------------------------------------------------------------------------------------------------ going in and out

export function enter(node: string): void {
  const tab = tabOf(useEditor.getState());
  if (tab === undefined) return;
  const path = [...pathOf(tab), node];
  if (levelsAt(tab.history.doc, path).length === path.length) goToLevel(path);
  else tell('Only subgraphs can be entered');
}

export function leaveLevel(): void {
  const path = pathOf(tabOf(useEditor.getState()));
  const node = path.at(-1);
  if (node === undefined) return;
  goToLevel(path.slice(0, -1));
  select([node]);
}

// ------------------------------------------------------------------------------------------------ making and taking apart

/** Puts the selected nodes into a subgraph, unless that would close a circle. */
export function makeOfSelected(boxes: Readonly<Record<string, Box>>): void {
  const doc = currentDoc();
  const ids = selectedNodes().filter((id) => doc.nodes[id]?.type !== INLET && doc.nodes[id]?.type !== OUTLET);
  if (ids.length === 0) {
    tell('Select the nodes that are to go into a subgraph');
    return;
  }
  const between = nodesBetween(doc, ids);
  if (between.length > 0) {
    const names = between.slice(0, 4).map((id) => nameOf(doc, doc.nodes[id], id));
    tell(`Not made: ${names.join(', ')} lie between the selected nodes`, 'error', 'select them too');
    return;
  }
  let made: string | null = null;
  perform('Make a subgraph', (edit) => {
    made = makeSubgraph(edit, ids, currentCatalog(), boxes, nameFor(doc, ids, boxes));
  });
  if (made !== null) select([made]);
}

/** The name of the only node, else of the frame around them. */
function nameFor(doc: Doc, ids: readonly string[], boxes: Readonly<Record<string, Box>>): string {
  if (ids.length === 1) return nameOf(doc, doc.nodes[ids[0]!], ids[0]!);
  const { groups } = enclosedBy(doc, ids, boxes);
  const title = groups.length === 1 ? doc.groups[groups[0]!]!.title : undefined;
  return title && title !== 'Group' ? title : 'Subgraph';
}

function selectedInstances(): string[] {
  const { nodes } = currentDoc();
  return selectedNodes().filter((id) => definitionOf(nodes[id]) !== null);
}

export function enterSelected(): void {
  const [node] = selectedInstances();
  if (node === undefined) tell('Select a subgraph to enter it');
  else enter(node);
}

export function unpackSelected(): void {
  const chosen = selectedInstances();
  let ids: string[] = [];
  perform('Unpack', (edit) => {
    ids = chosen.flatMap((node) => unpack(edit, node));
  });
  if (ids.length > 0) select(ids);
}

export function separateSelected(): void {
  const chosen = selectedInstances();
  perform('Make independent', (edit) => {
    for (const node of chosen) makeIndependent(edit, node);
  });
  if (chosen.length > 0) tell('It has a definition of its own now: changes inside leave the others alone');
}

// ------------------------------------------------------------------------------------------------ ports

/** A link that was dropped on a border node makes a port there. False if the node is none. */
export function exposeByDrop(
  loose: { readonly side: 'input' | 'output'; readonly node: string; readonly name: string },
  onto: string,
): boolean {
  const type = currentDoc().nodes[onto]?.type;
  if (type !== (loose.side === 'input' ? INLET : OUTLET)) return false;
  if (loose.side === 'input') expose(loose.node, loose.name);
  else perform('Add an output', (edit) => void exposeOutput(edit, { node: loose.node, output: loose.name }, currentCatalog()));
  return true;
}

export function expose(node: string, input: string): void {
  perform('Add an input', (edit) => void exposeInput(edit, node, input, currentCatalog()));
}

/** The definition that is looked at. */
export function currentLevel(): string | null {
  const tab = tabOf(useEditor.getState());
  return tab === undefined ? null : levelOf(tab);
}

export function renameLevel(id: string, name: string): void {
  perform('Rename the subgraph', (edit) => renameDefinition(edit, id, name.trim()));
}

export type { Side };
