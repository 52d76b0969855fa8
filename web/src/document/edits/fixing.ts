/** Edits that mend what is wrong: a fitting node put in, another type, an output to show. */
import type { Catalog, NodeSpec } from '../catalog';
import type { Edit } from '../change';
import { geometryOf, snap, WIDTH } from '../geometry';
import { inferenceOf } from '../inference';
import { get } from '../json';
import { asLink, type Doc, type Link, type Point, positionOf } from '../model';
import { partnerOf } from '../search';
import { connect } from './links';
import { addNode } from './nodes';

const GAP = 60;
const SPACE = 24;

function leftOf(doc: Doc, node: string): Point {
  const [x, y] = positionOf(doc, node);
  return [x - WIDTH - GAP, y];
}

function rightOf(doc: Doc, node: string): Point {
  const [x, y] = positionOf(doc, node);
  return [x + (get(doc.layout, node)?.size?.[0] ?? WIDTH) + GAP, y];
}

/** A place for a new node, as near as possible below `at`, where it covers no other one. */
function freePlace(doc: Doc, spec: NodeSpec, [x, y]: Point, catalog: Catalog): Point {
  const { width, height } = geometryOf(spec, { type: spec.id, inputs: {} }, undefined, false);
  const taken = Object.entries(doc.nodes)
    .map(([id, entry]) => ({ at: positionOf(doc, id), size: geometryOf(catalog.spec(entry.type), entry, get(doc.layout, id), false) }))
    .filter(({ at, size }) => at[0] < x + width + SPACE && x < at[0] + size.width + SPACE)
    .sort((one, other) => one.at[1] - other.at[1]);
  let free = y;
  for (const { at, size } of taken) {
    if (at[1] < free + height + SPACE && free < at[1] + size.height + SPACE) free = at[1] + size.height + SPACE;
  }
  return [x, snap(free)];
}

/** A new node that feeds an input, itself connected to what there is. Returns its id, null if none of its outputs fits. */
export function addSource(edit: Edit, spec: NodeSpec, node: string, input: string, catalog: Catalog): string | null {
  const wanted = get(catalog.spec(get(edit.doc.nodes, node)?.type ?? '')?.inputs, input);
  if (wanted === undefined) return null;
  const type = catalog.parse(wanted.type);
  const output = partnerOf(spec, { side: 'input', type, mapped: wanted.mapped === true }, catalog);
  if (output === null) return null;
  const id = addNode(edit, spec, freePlace(edit.doc, spec, leftOf(edit.doc, node), catalog));
  connect(edit, { node: id, output: output.name }, node, input);
  feed(edit, id, spec, catalog);
  return id;
}

/** A node put into a link, so that what comes fits what is wanted. Null if it cannot be. */
export function insertBetween(edit: Edit, spec: NodeSpec, node: string, input: string, catalog: Catalog): string | null {
  const link = asLink(edit.at(['nodes', node, 'inputs', input]));
  if (link === null || get(edit.doc.nodes, link.node) === undefined) return null;
  const type = inferenceOf(edit.doc, catalog).outputType(link);
  const through = partnerOf(spec, { side: 'output', type }, catalog);
  if (through === null) return null;
  const id = addSource(edit, spec, node, input, catalog);
  if (id === null) return null;
  connect(edit, link, id, through.name);
  return id;
}

/** A node that takes an output. Null if it takes no such thing. */
export function addTaker(edit: Edit, spec: NodeSpec, from: Link, catalog: Catalog): string | null {
  const type = inferenceOf(edit.doc, catalog).outputType(from);
  const input = partnerOf(spec, { side: 'output', type }, catalog);
  if (input === null) return null;
  const id = addNode(edit, spec, freePlace(edit.doc, spec, rightOf(edit.doc, from.node), catalog));
  connect(edit, from, id, input.name);
  return id;
}

/** What a new node needs is taken from nodes that have the very thing; the rest stays open. */
function feed(edit: Edit, id: string, spec: NodeSpec, catalog: Catalog): void {
  for (const [name, input] of Object.entries(spec.inputs)) {
    if (!input.required || input.widget !== undefined || Object.hasOwn(edit.doc.nodes[id]!.inputs, name)) continue;
    const from = sourceOf(edit.doc, id, name, catalog);
    if (from !== null) connect(edit, from, id, name);
  }
}

/** The first output in the document that is exactly of the type of an input and may be connected to it. */
export function sourceOf(doc: Doc, node: string, input: string, catalog: Catalog): Link | null {
  const wanted = get(catalog.spec(get(doc.nodes, node)?.type ?? '')?.inputs, input)?.type;
  if (wanted === undefined) return null;
  const types = inferenceOf(doc, catalog);
  for (const [id, entry] of Object.entries(doc.nodes)) {
    for (const [output, { type }] of Object.entries(catalog.spec(entry.type)?.outputs ?? {})) {
      if (type === wanted && types.canConnect({ node: id, output }, node, input).ok) return { node: id, output };
    }
  }
  return null;
}

/** Another type under the same id, with the same inputs. */
export function changeType(edit: Edit, node: string, spec: NodeSpec): void {
  edit.set(['nodes', node, 'type'], spec.id);
  edit.set(['nodes', node, 'version'], spec.version);
}
