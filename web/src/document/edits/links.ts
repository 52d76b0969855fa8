/** Links and values of inputs. A value that a link takes the place of is held in the layout, and comes back when the link goes. */
import type { Catalog } from '../catalog';
import { handedOn } from '../catalog';
import type { Edit } from '../change';
import { get, type Json } from '../json';
import { asLink, consumersOf, type Link, linkValue } from '../model';

export function connect(edit: Edit, from: Link, node: string, input: string): void {
  const present = edit.at(['nodes', node, 'inputs', input]);
  if (present !== undefined && asLink(present) === null) edit.set(['layout', node, 'held', input], present);
  edit.remove(['layout', node, 'via', input]);
  edit.set(['nodes', node, 'inputs', input], linkValue(from));
}

export function disconnect(edit: Edit, node: string, input: string): void {
  if (asLink(edit.at(['nodes', node, 'inputs', input])) === null) return;
  const held = edit.at(['layout', node, 'held', input]);
  if (held === undefined) edit.remove(['nodes', node, 'inputs', input]);
  else edit.set(['nodes', node, 'inputs', input], held);
  release(edit, node, input);
  edit.remove(['layout', node, 'via', input]);
}

function release(edit: Edit, node: string, input: string): void {
  const held = edit.at(['layout', node, 'held']) as Record<string, Json> | undefined;
  if (held === undefined || !Object.hasOwn(held, input)) return;
  edit.remove(Object.keys(held).length === 1 ? ['layout', node, 'held'] : ['layout', node, 'held', input]);
}

/** A literal; takes the place of a link, if there is one. */
export function setInput(edit: Edit, node: string, input: string, value: Json): void {
  release(edit, node, input);
  edit.remove(['layout', node, 'via', input]);
  edit.set(['nodes', node, 'inputs', input], value);
}

/** Back to the default: nothing is saved for this input. */
export function resetInput(edit: Edit, node: string, input: string): void {
  release(edit, node, input);
  edit.remove(['nodes', node, 'inputs', input]);
}

/** Every link out of a node goes to what the node hands on, or is cut. */
export function relinkAround(edit: Edit, node: string, catalog: Catalog): void {
  const entry = get(edit.doc.nodes, node);
  if (entry === undefined) return;
  for (const consumer of consumersOf(edit.doc, node)) {
    const type = get(edit.doc.nodes, consumer.node)?.type ?? '';
    const wanted = get(catalog.spec(type)?.inputs, consumer.input)?.type ?? '*';
    const link = handedOn(entry, consumer.output, catalog, catalog.parse(wanted));
    if (link !== null && link.node !== node && link.node !== consumer.node)
      edit.set(['nodes', consumer.node, 'inputs', consumer.input], linkValue(link));
    else disconnect(edit, consumer.node, consumer.input);
  }
}

/** Every link out of a node is cut. */
export function cutConsumers(edit: Edit, node: string): void {
  for (const consumer of consumersOf(edit.doc, node)) disconnect(edit, consumer.node, consumer.input);
}

/** Points through which a link is led; none makes it direct again. */
export function leadVia(edit: Edit, node: string, input: string, points: readonly (readonly [number, number])[]): void {
  if (points.length > 0) edit.set(['layout', node, 'via', input], points);
  else edit.remove(['layout', node, 'via', input]);
}

/** Puts a node into a link: what came from the one now goes through the other. */
export function spliceInto(edit: Edit, through: { node: string; input: string; output: string }, node: string, input: string): void {
  const link = asLink(edit.at(['nodes', node, 'inputs', input]));
  if (link === null) return;
  connect(edit, link, through.node, through.input);
  edit.set(['nodes', node, 'inputs', input], linkValue({ node: through.node, output: through.output }));
}
