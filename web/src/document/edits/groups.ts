/** Titled frames behind nodes. */
import type { Edit } from '../change';
import { type Box, boundsOf, HEADER } from '../geometry';
import type { Group, Point } from '../model';

const MARGIN = 20;

function setGroups(edit: Edit, groups: readonly Group[]): void {
  edit.set(['groups'], groups);
}

/** A frame around boxes; nothing without any. */
export function addGroup(edit: Edit, boxes: readonly Box[], title = 'Group', color = '#4a6fa5'): void {
  const bounding = around(boxes);
  if (bounding !== null) setGroups(edit, [...edit.doc.groups, { title, color, bounding }]);
}

/** Frames from elsewhere, moved by so much. */
export function addGroups(edit: Edit, groups: readonly Group[], by: Point): void {
  if (groups.length === 0) return;
  const moved = groups.map((group): Group => {
    const [x, y, width, height] = group.bounding;
    return { ...group, bounding: [x + by[0], y + by[1], width, height] };
  });
  setGroups(edit, [...edit.doc.groups, ...moved]);
}

function around(boxes: readonly Box[]): Group['bounding'] | null {
  const all = boundsOf(boxes);
  return all && [all.x - MARGIN, all.y - MARGIN - HEADER, all.width + 2 * MARGIN, all.height + 2 * MARGIN + HEADER];
}

/** Makes a frame as large as what lies in it needs. */
export function fitGroup(edit: Edit, index: number, boxes: readonly Box[]): void {
  const group = edit.doc.groups[index];
  const bounding = group && around(boxes.filter((box) => isInside(group, box)));
  if (bounding) changeGroup(edit, index, { bounding });
}

export function changeGroup(edit: Edit, index: number, change: Partial<Group>): void {
  if (edit.doc.groups[index] === undefined) return;
  setGroups(
    edit,
    edit.doc.groups.map((group, i) => (i === index ? { ...group, ...change } : group)),
  );
}

export function deleteGroups(edit: Edit, indices: readonly number[]): void {
  if (indices.some((index) => edit.doc.groups[index] !== undefined)) {
    setGroups(
      edit,
      edit.doc.groups.filter((_, i) => !indices.includes(i)),
    );
  }
}

/** Whether one frame lies wholly in another. */
export function isNested(outer: Group, inner: Group): boolean {
  const [x, y, width, height] = outer.bounding;
  const [ix, iy, iwidth, iheight] = inner.bounding;
  return ix >= x && iy >= y && ix + iwidth <= x + width && iy + iheight <= y + height;
}

/** Whether a box counts as inside a group: its middle is. */
export function isInside(group: Group, box: Box): boolean {
  const [x, y, width, height] = group.bounding;
  const [cx, cy] = [box.x + box.width / 2, box.y + box.height / 2];
  return cx >= x && cx <= x + width && cy >= y && cy <= y + height;
}
