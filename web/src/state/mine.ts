/** Nodes of one's own: subgraphs that are kept on the server and offered in every workflow. What is put in is a copy of the definition. */
import type { Catalog, NodeSpec } from '../document/catalog';
import type { Edit } from '../document/change';
import { copyNodes, pasteNodes } from '../document/edits/clipboard';
import { addNode } from '../document/edits/nodes';
import { get } from '../document/json';
import { type Doc, definitionOf, INSTANCE, type Point } from '../document/model';
import { catalogAt, instancesIn } from '../document/subgraphs';
import { api } from '../network/api';
import { attempt } from './actions';
import { change, currentDoc, perform, select, selectedNodes, tell, useEditor } from './editor';

const MINE = 'mine/';
const kept = new Map<string, Doc>();

/** Asks the server for them; without it the palette offers what it knew. */
export async function loadMine(): Promise<void> {
  const found = await api.mine().catch(() => null);
  if (found === null) return;
  kept.clear();
  const { catalog } = useEditor.getState();
  const specs: Record<string, NodeSpec> = {};
  for (const { name, doc } of found) {
    const spec = specOf(name, doc, catalog);
    if (spec === null) continue;
    kept.set(spec.id, doc);
    specs[spec.id] = spec;
  }
  change({ published: specs });
}

function specOf(name: string, doc: Doc, catalog: Catalog): NodeSpec | null {
  const [id] = instancesIn(doc.nodes);
  const spec = id === undefined ? undefined : catalogAt(catalog, doc, null).spec(INSTANCE + id);
  if (id === undefined || spec === undefined) return null;
  const description = get(doc.subgraphs, id)?.description ?? 'A node of your own. A copy of its subgraph goes into the workflow.';
  return { ...spec, id: MINE + name, title: name, category: 'My nodes', description };
}

/** Keeps the selected subgraph under its name; what was kept under it before stays as a version. */
export async function publishSelected(): Promise<void> {
  const doc = currentDoc();
  const node = selectedNodes().find((id) => definitionOf(doc.nodes[id]) !== null);
  if (node === undefined) {
    tell('Select a subgraph to keep it');
    return;
  }
  const fragment = copyNodes(doc, [node]);
  const entry = fragment.nodes[node]!;
  const name = plainName(get(doc.subgraphs, definitionOf(entry)!)?.name ?? '');
  const bare = { ...fragment, nodes: { '1': { ...entry, inputs: {} } }, layout: {}, meta: { title: name } };
  await attempt(async () => {
    await api.keepMine(name, bare);
    await loadMine();
    tell(`“${name}” is in the palette of every workflow now, under My nodes`);
  });
}

/** Copies that workflows have stay as they are. */
export async function forgetMine(spec: NodeSpec): Promise<void> {
  const doc = kept.get(spec.id);
  const done = await attempt(async () => {
    await api.forgetMine(spec.title);
    await loadMine();
    return true;
  });
  if (done === null || doc === undefined) return;
  const back = async (): Promise<void> => {
    await attempt(() => api.keepMine(spec.title, doc));
    await loadMine();
  };
  tell(`Removed “${spec.title}” from My nodes`, 'info', undefined, { label: 'Undo', run: () => void back() });
}

/** What is put in from now on is called so as well. */
export async function renameMine(spec: NodeSpec, to: string): Promise<void> {
  const doc = kept.get(spec.id);
  const [id] = doc === undefined ? [] : instancesIn(doc.nodes);
  const definition = id === undefined ? undefined : doc?.subgraphs[id];
  if (doc === undefined || id === undefined || definition === undefined) return;
  const name = plainName(to);
  if (kept.has(MINE + name)) {
    tell(`There is a “${name}” among My nodes already`, 'error', 'Choose another name.');
    return;
  }
  const renamed = { ...doc, subgraphs: { ...doc.subgraphs, [id]: { ...definition, name } }, meta: { ...doc.meta, title: name } };
  await attempt(async () => {
    await api.keepMine(name, renamed);
    await api.forgetMine(spec.title);
  });
  await loadMine();
}

function plainName(name: string): string {
  return name.replace(/[^\p{L}\p{N} _-]/gu, ' ').trim() || 'Subgraph';
}

/** One of them into the workflow in front. */
export function putMine(spec: NodeSpec, pos: Point): void {
  let id = '';
  perform(`Add ${spec.title}`, (edit) => {
    id = place(edit, spec, pos);
  });
  if (id !== '') select([id]);
}

/** Puts a node in by its description; of a node of one's own the definition comes along. Returns its id. */
export function place(edit: Edit, spec: NodeSpec, pos: Point): string {
  const doc = kept.get(spec.id);
  return doc === undefined ? addNode(edit, spec, pos) : (pasteNodes(edit, doc, pos, false)[0] ?? '');
}
