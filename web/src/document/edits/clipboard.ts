/** Parts of a workflow as text: copy, paste, duplicate. What is copied is a workflow file itself. */
import type { Edit } from '../change';
import { get, type Json } from '../json';
import { asLink, type Doc, emptyDocument, FORMAT, linkValue, type NodeEntry, type Point, writeDocument } from '../model';
import { freeId } from './nodes';

/** The nodes with these ids, links to others among the inputs included. */
export function copyNodes(doc: Doc, ids: readonly string[]): Doc {
  const pick = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(ids.filter((id) => Object.hasOwn(record, id)).map((id) => [id, record[id]!]));
  return { ...emptyDocument(), nodegraph: FORMAT, nodes: pick(doc.nodes), layout: pick(doc.layout) };
}

export function copyText(doc: Doc, ids: readonly string[]): string {
  return writeDocument(copyNodes(doc, ids));
}

/**
 * Puts copies of nodes in, their upper left corner at `at` (or moved by a little), and returns the new ids.
 * `outer`: keep links from nodes outside, where those are still there.
 */
export function pasteNodes(edit: Edit, fragment: Doc, at: Point | null, outer: boolean): string[] {
  const by = shift(fragment, at);
  const ids = new Map<string, string>();
  for (const id of Object.keys(fragment.nodes)) {
    const fresh = freeId(edit.doc);
    ids.set(id, fresh);
    const place = get(fragment.layout, id) ?? {};
    const [x, y] = place.pos ?? [0, 0];
    edit.set(['nodes', fresh], { ...fragment.nodes[id]!, inputs: {} });
    edit.set(['layout', fresh], { ...place, pos: [x + by[0], y + by[1]] });
  }
  for (const [id, entry] of Object.entries(fragment.nodes)) {
    const fresh = ids.get(id)!;
    edit.set(['nodes', fresh, 'inputs'], pastedInputs(edit.doc, entry, ids, outer));
  }
  return [...ids.values()];
}

function pastedInputs(doc: Doc, entry: NodeEntry, ids: ReadonlyMap<string, string>, outer: boolean): Record<string, Json> {
  const found: Record<string, Json> = {};
  for (const [name, value] of Object.entries(entry.inputs)) {
    const link = asLink(value);
    const inner = link && ids.get(link.node);
    if (link === null) found[name] = value;
    else if (inner !== undefined && inner !== null) found[name] = linkValue({ node: inner, output: link.output });
    else if (outer && Object.hasOwn(doc.nodes, link.node)) found[name] = value;
  }
  return found;
}

function shift(fragment: Doc, at: Point | null): Point {
  if (at === null) return [32, 32];
  const places = Object.keys(fragment.nodes).map((id) => get(fragment.layout, id)?.pos ?? ([0, 0] as const));
  return [at[0] - Math.min(...places.map(([x]) => x)), at[1] - Math.min(...places.map(([, y]) => y))];
}

/** Copies beside the originals, with the same links into them. */
export function duplicateNodes(edit: Edit, ids: readonly string[]): string[] {
  return pasteNodes(edit, copyNodes(edit.doc, ids), null, true);
}
