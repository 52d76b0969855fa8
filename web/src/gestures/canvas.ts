/** Gestures on the canvas: what React Flow reports becomes edits of the workflow. */
import type { Connection, EdgeChange, FinalConnectionState, HandleType, NodeChange } from '@xyflow/react';
import type { Edit } from '../document/change';
import { changeGroup, isInside, isNested } from '../document/edits/groups';
import { connect, disconnect } from '../document/edits/links';
import { moveNodes, resizeNode } from '../document/edits/nodes';
import { moveReroutes } from '../document/edits/reroutes';
import { snap } from '../document/geometry';
import { inferenceOf } from '../document/inference';
import { get } from '../document/json';
import type { Point } from '../document/model';
import { partnerOf } from '../document/search';
import { change, currentCatalog, currentDoc, type Palette, perform, select, tell, useEditor } from '../state/editor';
import { boxesOf, endOfEdge, type FlowGroup, type FlowNode } from '../state/flow';
import { exposeByDrop } from '../state/inside';

type Nodes = readonly (FlowNode | FlowGroup)[];

/** Nodes that move along with the groups that are dragged, with where they were. */
let carried: Record<string, { group: string; from: Point; start: Point }> = {};

export function onNodesChange(changes: NodeChange<FlowNode | FlowGroup>[], nodes: Nodes): void {
  const { moving, sizing } = useEditor.getState();
  const places = { ...moving };
  const sizes = { ...sizing };
  let done = false;
  for (const one of changes) {
    if (one.type === 'position' && one.position !== undefined) {
      places[one.id] = [snap(one.position.x), snap(one.position.y)];
      if (one.dragging !== true) done = true;
    } else if (one.type === 'dimensions' && one.resizing !== undefined) {
      if (one.dimensions !== undefined) sizes[one.id] = [snap(one.dimensions.width), snap(one.dimensions.height)];
      if (!one.resizing) done = true;
    }
  }
  selectBy(changes);
  carry(places, nodes);
  if (places !== moving || sizes !== sizing) change({ moving: places, sizing: sizes });
  if (done) commit(places, sizes);
}

function selectBy(changes: NodeChange<FlowNode | FlowGroup>[]): void {
  const picks = changes.filter((one) => one.type === 'select');
  if (picks.length === 0) return;
  const { selection, links } = useEditor.getState();
  const next = new Set(selection);
  for (const pick of picks) {
    if (pick.selected) next.add(pick.id);
    else next.delete(pick.id);
  }
  select(next, links);
}

/** What lies in a dragged group goes with it. */
function carry(places: Record<string, Point>, nodes: Nodes): void {
  const doc = currentDoc();
  for (const id of Object.keys(places).filter((name) => name.startsWith('group:') && carried[name] === undefined)) {
    const group = doc.groups[Number(id.slice(6))];
    if (group === undefined) continue;
    if (!Object.values(carried).some((one) => one.group === id)) {
      for (const [inner, box] of Object.entries(boxesOf(nodes))) {
        const frame = inner.startsWith('group:') ? doc.groups[Number(inner.slice(6))] : undefined;
        const lies = frame === undefined ? isInside(group, box) : frame !== group && isNested(group, frame);
        if (places[inner] === undefined && lies)
          carried[inner] = { group: id, from: [box.x, box.y], start: [group.bounding[0], group.bounding[1]] };
      }
    }
    for (const [inner, one] of Object.entries(carried)) {
      const at = places[one.group];
      if (at !== undefined) places[inner] = [one.from[0] + at[0] - one.start[0], one.from[1] + at[1] - one.start[1]];
    }
  }
}

function commit(places: Readonly<Record<string, Point>>, sizes: Readonly<Record<string, Point>>): void {
  carried = {};
  perform(Object.keys(sizes).length > 0 ? 'Resize' : 'Move', (edit) => {
    for (const [id, size] of Object.entries(sizes)) {
      if (!id.startsWith('group:')) resizeNode(edit, id, size);
    }
    const nodes = Object.fromEntries(Object.entries(places).filter(([id]) => !id.startsWith('group:')));
    moveReroutes(edit, nodes);
    moveNodes(edit, nodes);
    for (const index of groupsIn(places, sizes)) moveGroup(edit, index, places[`group:${index}`], sizes[`group:${index}`]);
  });
  change({ moving: {}, sizing: {} });
}

function groupsIn(...records: Readonly<Record<string, Point>>[]): Set<number> {
  const ids = records.flatMap((record) => Object.keys(record)).filter((id) => id.startsWith('group:'));
  return new Set(ids.map((id) => Number(id.slice(6))));
}

function moveGroup(edit: Edit, index: number, pos: Point | undefined, size: Point | undefined): void {
  const group = edit.doc.groups[index];
  if (group === undefined) return;
  const [x, y, width, height] = group.bounding;
  changeGroup(edit, index, { bounding: [pos?.[0] ?? x, pos?.[1] ?? y, size?.[0] ?? width, size?.[1] ?? height] });
}

export function onEdgesChange(changes: EdgeChange[]): void {
  const picks = changes.filter((one) => one.type === 'select');
  if (picks.length === 0) return;
  const { selection, links } = useEditor.getState();
  const next = new Set(links);
  for (const pick of picks) {
    if (pick.selected) next.add(pick.id);
    else next.delete(pick.id);
  }
  select(selection, next);
}

// ------------------------------------------------------------------------------------------------ links

interface Ends {
  readonly source: string | null;
  readonly target: string | null;
  readonly sourceHandle?: string | null;
  readonly targetHandle?: string | null;
}

export function mayConnect(ends: Ends): boolean {
  if (!ends.source || !ends.target || !ends.sourceHandle || !ends.targetHandle) return false;
  return inferenceOf(currentDoc(), currentCatalog()).canConnect(
    { node: ends.source, output: ends.sourceHandle },
    ends.target,
    ends.targetHandle,
  ).ok;
}

export function onConnect(ends: Connection): void {
  if (!mayConnect(ends)) return;
  perform('Connect', (edit) => connect(edit, { node: ends.source, output: ends.sourceHandle! }, ends.target, ends.targetHandle!));
}

/** The end of a link is dragged elsewhere. */
export function onReconnect(old: { readonly id: string }, ends: Connection): void {
  const [node, input] = endOfEdge(old.id);
  if (!mayConnect(ends) && !(ends.target === node && ends.targetHandle === input)) return;
  perform('Reconnect', (edit) => {
    if (ends.target !== node || ends.targetHandle !== input) disconnect(edit, node, input);
    connect(edit, { node: ends.source, output: ends.sourceHandle! }, ends.target, ends.targetHandle!);
  });
}

/** Dropped where nothing takes it, a link is cut. */
export function onReconnectEnd(edge: { readonly id: string }, state: FinalConnectionState): void {
  if (state.isValid === true || state.toNode !== null) return;
  perform('Disconnect', (edit) => disconnect(edit, ...endOfEdge(edge.id)));
}

export function onConnectStart(node: string | null, handle: string | null, type: HandleType | null): void {
  if (node !== null && handle !== null && type !== null) change({ loose: looseEnd(node, handle, type) });
}

export function looseEnd(node: string, name: string, type: HandleType): Palette['loose'] {
  const catalog = currentCatalog();
  const view = inferenceOf(currentDoc(), catalog);
  if (type === 'source') return { side: 'output', type: view.outputType({ node, output: name }), node, name };
  const entry = get(currentDoc().nodes, node);
  const input = get(catalog.spec(entry?.type ?? '')?.inputs, name);
  return { side: 'input', type: view.inputType(node, name), mapped: input?.mapped === true, node, name };
}

/** A link dropped on a node goes to the first end that takes it; in empty space the palette opens with what fits. */
export function onConnectEnd(state: FinalConnectionState, screen: Point, flow: Point): void {
  const { loose } = useEditor.getState();
  change({ loose: null });
  if (loose === null || state.isValid === true) return;
  const onto = document.elementFromPoint(screen[0], screen[1])?.closest<HTMLElement>('.react-flow__node')?.dataset['id'];
  if (onto !== undefined && exposeByDrop(loose, onto)) return;
  if (state.toHandle?.id && state.toNode !== null && state.toNode.id !== loose.node) {
    refuse(loose, state.toNode.id, state.toHandle.id, state.toHandle.type);
    return;
  }
  const under = loose.side === 'output' ? document.elementFromPoint(...(screen as [number, number])) : null;
  const input = under?.closest<HTMLElement>('[data-input]')?.dataset['input'];
  if (state.toNode === null) change({ palette: { screen, flow, loose } });
  else if (state.toNode.id === loose.node) return;
  else if (input !== undefined) joinLoose(loose, state.toNode.id, input);
  else connectToNode(loose, state.toNode.id);
}

/** Says why the end that a link was dropped on does not take it. */
function refuse(loose: NonNullable<Palette['loose']>, id: string, handle: string, type: HandleType): void {
  if ((type === 'source') === (loose.side === 'output')) tell(`Not connected: both ends are ${loose.side}s`);
  else joinLoose(loose, id, handle);
}

function connectToNode(loose: NonNullable<Palette['loose']>, id: string): void {
  const catalog = currentCatalog();
  const spec = catalog.spec(get(currentDoc().nodes, id)?.type ?? '');
  const partner = spec && partnerOf(spec, loose, catalog);
  if (!partner) {
    tell('Nothing on this node takes that link');
    return;
  }
  joinLoose(loose, id, partner.name);
}

/** Connects a loose end with the named end of another node, if that is allowed. */
export function joinLoose(loose: NonNullable<Palette['loose']>, id: string, name: string): void {
  const [from, node, input] =
    loose.side === 'output' ? [{ node: loose.node, output: loose.name }, id, name] : [{ node: id, output: name }, loose.node, loose.name];
  const verdict = inferenceOf(currentDoc(), currentCatalog()).canConnect(from, node, input);
  if (verdict.ok) perform('Connect', (edit) => connect(edit, from, node, input));
  else tell(`Not connected: ${verdict.reason}`);
}

/** Puts a new node, fed by what the link carries, into the link: its first output that fits goes on. */
export function splice(id: string, into: { readonly node: string; readonly input: string }): void {
  const spec = currentCatalog().spec(get(currentDoc().nodes, id)?.type ?? '');
  const view = inferenceOf(currentDoc(), currentCatalog());
  const output = Object.keys(spec?.outputs ?? {}).find((name) => view.canConnect({ node: id, output: name }, into.node, into.input).ok);
  if (output === undefined) tell('Nothing that it gives fits where the link went');
  else perform('Connect', (edit) => connect(edit, { node: id, output }, into.node, into.input));
}
