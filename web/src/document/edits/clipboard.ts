/** Parts of a workflow as text: copy, paste, duplicate. What is copied is a workflow file itself. */
import type { Edit } from '../change';
import { get, type Json, same } from '../json';
import {
  asLink,
  type Doc,
  definitionOf,
  emptyDocument,
  FORMAT,
  INSTANCE,
  isBorder,
  linkValue,
  type NodeEntry,
  type NodeLayout,
  type Point,
  writeDocument,
} from '../model';
import { freeName, instancesIn, mayContain, usedBy } from '../subgraphs';
import { addGroups } from './groups';
import { freeId } from './nodes';
import { shifted } from './reroutes';

/** The nodes with these ids, links to others among the inputs included, the subgraphs that they stand for, and groups by their place. */
export function copyNodes(doc: Doc, ids: readonly string[], groups: readonly number[] = []): Doc {
  const chosen = ids.filter((id) => !isBorder(get(doc.nodes, id)));
  const pick = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(chosen.filter((id) => Object.hasOwn(record, id)).map((id) => [id, record[id]!]));
  const nodes = pick(doc.nodes);
  const frames = groups.flatMap((index) => doc.groups[index] ?? []);
  const used = [...usedBy(doc, instancesIn(nodes))].map((id) => [id, doc.subgraphs[id]!]);
  return { ...emptyDocument(), nodegraph: FORMAT, nodes, layout: pick(doc.layout), groups: frames, subgraphs: Object.fromEntries(used) };
}

export function copyText(doc: Doc, ids: readonly string[], groups: readonly number[] = []): string {
  return writeDocument(copyNodes(doc, ids, groups));
}

/**
 * Puts copies of nodes and groups in, their upper left corner at `at` (or moved by a little), and returns the new ids.
 * `outer`: keep links from nodes outside, where those are still there.
 */
export function pasteNodes(edit: Edit, given: Doc, at: Point | null, outer: boolean): string[] {
  const fragment = broughtAlong(edit, given);
  const by = shift(fragment, at);
  const ids = new Map<string, string>();
  for (const id of Object.keys(fragment.nodes)) {
    const fresh = freeId(edit.doc);
    ids.set(id, fresh);
    const place = get(fragment.layout, id) ?? {};
    edit.set(['nodes', fresh], { ...fragment.nodes[id]!, inputs: {} });
    edit.set(['layout', fresh], placedBy(place, by));
  }
  addGroups(edit, fragment.groups, by);
  for (const [id, entry] of Object.entries(fragment.nodes)) {
    const fresh = ids.get(id)!;
    edit.set(['nodes', fresh, 'inputs'], pastedInputs(edit.doc, entry, get(fragment.layout, id)?.held ?? {}, ids, outer));
  }
  return [...ids.values()];
}

/** Takes over the subgraphs of a fragment. One that is there already is used; one that differs from what has its id gets a new one. */
function broughtAlong(edit: Edit, fragment: Doc): Doc {
  const names = new Map<string, string>();
  const there = edit.whole.subgraphs;
  const differs = (id: string): boolean => Object.hasOwn(there, id) && !same(there[id], fragment.subgraphs[id]);
  for (const id of Object.keys(fragment.subgraphs)) {
    const fresh = [...usedBy(fragment, [id])].some(differs) && Object.hasOwn(there, id);
    names.set(id, fresh ? freeName(id, (name) => Object.hasOwn(there, name) || Object.hasOwn(fragment.subgraphs, name)) : id);
  }
  const renamed = (nodes: Doc['nodes']): Doc['nodes'] =>
    Object.fromEntries(
      Object.entries(nodes).map(([id, entry]) => {
        const name = names.get(definitionOf(entry) ?? '');
        return [id, name === undefined ? entry : { ...entry, type: INSTANCE + name }];
      }),
    );
  for (const [id, definition] of Object.entries(fragment.subgraphs)) {
    const name = names.get(id)!;
    if (!Object.hasOwn(edit.whole.subgraphs, name)) edit.set(['subgraphs', name], { ...definition, nodes: renamed(definition.nodes) });
  }
  const fits = Object.entries(renamed(fragment.nodes)).filter(([, entry]) => {
    const id = definitionOf(entry);
    return !isBorder(entry) && (id === null || mayContain(edit.whole, edit.level, id));
  });
  return { ...fragment, nodes: Object.fromEntries(fits) };
}

/** A link that finds no start any more gives its place back to the value that it took it from. */
function pastedInputs(
  doc: Doc,
  entry: NodeEntry,
  held: Readonly<Record<string, Json>>,
  ids: ReadonlyMap<string, string>,
  outer: boolean,
): Record<string, Json> {
  const found: Record<string, Json> = {};
  for (const [name, value] of Object.entries(entry.inputs)) {
    const link = asLink(value);
    const inner = link && ids.get(link.node);
    if (link === null) found[name] = value;
    else if (inner !== undefined && inner !== null) found[name] = linkValue({ node: inner, output: link.output });
    else if (outer && Object.hasOwn(doc.nodes, link.node)) found[name] = value;
    else if (Object.hasOwn(held, name)) found[name] = held[name]!;
  }
  return found;
}

/** A layout moved, with the points of its links. */
export function placedBy(place: NodeLayout, by: Point): NodeLayout {
  const pos = shifted(by)(place.pos ?? [0, 0]);
  if (place.via === undefined) return { ...place, pos };
  return { ...place, pos, via: Object.fromEntries(Object.entries(place.via).map(([input, points]) => [input, points.map(shifted(by))])) };
}

function shift(fragment: Doc, at: Point | null): Point {
  if (at === null) return [32, 32];
  const nodes = Object.keys(fragment.nodes).map((id) => get(fragment.layout, id)?.pos ?? ([0, 0] as const));
  const places = [...nodes, ...fragment.groups.map((group) => [group.bounding[0], group.bounding[1]] as const)];
  if (places.length === 0) return at;
  return [at[0] - Math.min(...places.map(([x]) => x)), at[1] - Math.min(...places.map(([, y]) => y))];
}

/** Copies beside the originals, with the same links into them. */
export function duplicateNodes(edit: Edit, ids: readonly string[], groups: readonly number[] = []): string[] {
  return pasteNodes(edit, copyNodes(edit.doc, ids, groups), null, true);
}
