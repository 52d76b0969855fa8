/** Which node comes next when one walks through a workflow with the arrow keys. */
import type { Box } from './geometry';
import { get } from './json';
import { consumersOf, type Doc, linksInto } from './model';

export type Direction = 'left' | 'right' | 'up' | 'down';
export type Boxes = Readonly<Record<string, Box>>;

/** Left and right along links, to the end that is most level; else, and up and down, to the nearest node on that side. */
export function neighbour(doc: Doc, boxes: Boxes, id: string, way: Direction): string | null {
  const from = get(boxes, id);
  const entry = get(doc.nodes, id);
  if (from === undefined || entry === undefined) return null;
  const linked =
    way === 'left' ? linksInto(entry).map(([, link]) => link.node) : way === 'right' ? consumersOf(doc, id).map((one) => one.node) : [];
  const others = linked.filter((other) => other !== id && Object.hasOwn(doc.nodes, other));
  if (others.length > 0) return best(others, boxes, (box) => Math.abs(middle(box)[1] - middle(from)[1]));
  return best(
    Object.keys(doc.nodes).filter((other) => other !== id),
    boxes,
    (box) => reach(from, box, way),
  );
}

/** How far a box is on one side: what lies askew counts as farther, what lies elsewhere not at all. */
function reach(from: Box, to: Box, way: Direction): number {
  const [dx, dy] = [middle(to)[0] - middle(from)[0], middle(to)[1] - middle(from)[1]];
  const [along, across] = way === 'left' ? [-dx, dy] : way === 'right' ? [dx, dy] : way === 'up' ? [-dy, dx] : [dy, dx];
  return along <= 0 ? Number.POSITIVE_INFINITY : along + 2 * Math.abs(across);
}

function middle(box: Box): readonly [number, number] {
  return [box.x + box.width / 2, box.y + box.height / 2];
}

function best(ids: readonly string[], boxes: Boxes, cost: (box: Box) => number): string | null {
  let found: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const id of ids) {
    const box = get(boxes, id);
    const price = box === undefined ? Number.POSITIVE_INFINITY : cost(box);
    if (price < least) [found, least] = [id, price];
  }
  return found;
}
