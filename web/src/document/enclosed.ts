/** What lies among chosen nodes and belongs to them, without a link that says so: notes, and frames that hold nothing else. */
import { isInside } from './edits/groups';
import { type Box, boundsOf } from './geometry';
import { get } from './json';
import { type Doc, NOTE } from './model';

export interface Enclosed {
  readonly notes: readonly string[];
  /** frames, by their place */
  readonly groups: readonly number[];
}

/** `boxes`: how the nodes lie. A frame belongs to the chosen nodes if it holds one of them, and none that is not chosen but notes. */
export function enclosedBy(doc: Doc, ids: readonly string[], boxes: Readonly<Record<string, Box>>): Enclosed {
  const chosen = new Set(ids);
  const all = Object.keys(doc.nodes).flatMap((id) => (get(boxes, id) === undefined ? [] : [{ id, box: get(boxes, id)! }]));
  const area = boundsOf(all.filter(({ id }) => chosen.has(id)).map(({ box }) => box));
  if (area === null) return { notes: [], groups: [] };
  const isNote = (id: string): boolean => doc.nodes[id]?.type === NOTE;
  const groups = doc.groups.flatMap((group, index) => {
    const held = all.filter(({ box }) => isInside(group, box));
    return held.some(({ id }) => chosen.has(id)) && held.every(({ id }) => chosen.has(id) || isNote(id)) ? [index] : [];
  });
  const frames = [{ bounding: [area.x, area.y, area.width, area.height] as const }, ...groups.map((index) => doc.groups[index]!)];
  const notes = all.filter(({ id, box }) => isNote(id) && !chosen.has(id) && frames.some((frame) => isInside(frame, box)));
  return { notes: notes.map(({ id }) => id), groups };
}
