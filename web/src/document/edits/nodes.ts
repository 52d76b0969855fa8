/** Nodes come, go, and change how they look and whether they run. */
import type { Catalog, NodeSpec } from '../catalog';
import type { Edit } from '../change';
import { get, type Json } from '../json';
import { type Doc, isBorder, type Mode, type Point } from '../model';
import { cutConsumers, relinkAround } from './links';

/** The next number that is no node's id. */
export function freeId(doc: Pick<Doc, 'nodes' | 'layout'>): string {
  let next = 1;
  for (const id of [...Object.keys(doc.nodes), ...Object.keys(doc.layout)]) {
    if (/^\d{1,15}$/.test(id)) next = Math.max(next, Number(id) + 1);
  }
  return String(next);
}

/** A new node with the defaults of its type written out, so that a later version's other default does not change the workflow. */
export function addNode(edit: Edit, spec: NodeSpec, pos: Point, values: Readonly<Record<string, Json>> = {}): string {
  const id = freeId(edit.doc);
  const inputs: Record<string, Json> = {};
  for (const [name, input] of Object.entries(spec.inputs)) {
    if (input.widget !== undefined && input.default !== undefined && input.default !== null) inputs[name] = input.default;
  }
  edit.set(['nodes', id], { type: spec.id, version: spec.version, inputs: { ...inputs, ...values } });
  edit.set(['layout', id], { pos });
  return id;
}

/** `relink`: what came in goes on to where it went, as if the node were bypassed. */
export function deleteNodes(edit: Edit, ids: readonly string[], catalog: Catalog, relink = false): void {
  for (const id of ids) {
    const entry = get(edit.doc.nodes, id);
    if (entry === undefined || isBorder(entry)) continue;
    if (relink) relinkAround(edit, id, catalog);
    else cutConsumers(edit, id);
    edit.remove(['nodes', id]);
    edit.remove(['layout', id]);
  }
}

export function moveNodes(edit: Edit, places: Readonly<Record<string, Point>>): void {
  for (const [id, pos] of Object.entries(places)) {
    const now = get(edit.doc.layout, id)?.pos;
    if (get(edit.doc.nodes, id) !== undefined && (now?.[0] !== pos[0] || now?.[1] !== pos[1])) edit.set(['layout', id, 'pos'], pos);
  }
}

export function resizeNode(edit: Edit, id: string, size: Point, pos?: Point): void {
  edit.set(['layout', id, 'size'], size);
  if (pos !== undefined) moveNodes(edit, { [id]: pos });
}

export function setColor(edit: Edit, ids: readonly string[], color: string | null): void {
  for (const id of ids) {
    if (color === null) edit.remove(['layout', id, 'color']);
    else edit.set(['layout', id, 'color'], color);
  }
}

export function setTitle(edit: Edit, id: string, title: string): void {
  if (title === '') edit.remove(['nodes', id, 'title']);
  else edit.set(['nodes', id, 'title'], title);
}

export function setMode(edit: Edit, ids: readonly string[], mode: Mode): void {
  for (const id of ids) {
    if (mode === 'active') edit.remove(['nodes', id, 'mode']);
    else edit.set(['nodes', id, 'mode'], mode);
  }
}

/** To a mode, or back to active if all are in it already. */
export function toggleMode(edit: Edit, ids: readonly string[], mode: Mode): void {
  const all = ids.every((id) => get(edit.doc.nodes, id)?.mode === mode);
  setMode(edit, ids, all ? 'active' : mode);
}

export function toggleCollapsed(edit: Edit, ids: readonly string[]): void {
  const all = ids.every((id) => get(edit.doc.layout, id)?.collapsed === true);
  for (const id of ids) {
    if (all) edit.remove(['layout', id, 'collapsed']);
    else edit.set(['layout', id, 'collapsed'], true);
  }
}

/** Shows or hides inputs that nobody has set. */
export function toggleMore(edit: Edit, id: string): void {
  if (get(edit.doc.layout, id)?.more === true) edit.remove(['layout', id, 'more']);
  else edit.set(['layout', id, 'more'], true);
}

export function setDocumentTitle(edit: Edit, title: string): void {
  edit.set(['meta', 'title'], title);
}
