/** Points a link is led through. They lie in the layout of the node the link ends at, and go where both its ends go. */
import type { Edit } from '../change';
import { get } from '../json';
import { linksInto, type Point, positionOf } from '../model';
import { leadVia } from './links';

type Points = readonly Point[];

function viaOf(edit: Edit, node: string, input: string): Points {
  return (edit.at(['layout', node, 'via', input]) as unknown as Points | undefined) ?? [];
}

/** A new point between the two stops it lies closest to. `ends`: where the link starts and where it ends. */
export function addReroute(edit: Edit, node: string, input: string, ends: readonly [Point, Point], at: Point): void {
  const via = viaOf(edit, node, input);
  const stops = [ends[0], ...via, ends[1]];
  const detours = stops.slice(1).map((stop, i) => distance(stops[i]!, at) + distance(at, stop) - distance(stops[i]!, stop));
  const place = detours.indexOf(Math.min(...detours));
  leadVia(edit, node, input, [...via.slice(0, place), at, ...via.slice(place)]);
}

function distance([ax, ay]: Point, [bx, by]: Point): number {
  return Math.hypot(ax - bx, ay - by);
}

export function moveReroute(edit: Edit, node: string, input: string, index: number, at: Point): void {
  const via = viaOf(edit, node, input);
  if (via[index] !== undefined) leadVia(edit, node, input, via.with(index, at));
}

export function removeReroute(edit: Edit, node: string, input: string, index: number): void {
  const via = viaOf(edit, node, input);
  if (via[index] === undefined) return;
  const left = via.filter((_, i) => i !== index);
  const all = Object.keys(edit.at(['layout', node, 'via']) ?? {});
  if (left.length === 0 && all.length === 1) edit.remove(['layout', node, 'via']);
  else leadVia(edit, node, input, left);
}

/** Takes the points of links along whose two ends both move, by as much as they do. To be called before the nodes are moved. */
export function moveReroutes(edit: Edit, places: Readonly<Record<string, Point>>): void {
  for (const [id, place] of Object.entries(places)) {
    const entry = get(edit.doc.nodes, id);
    if (entry === undefined) continue;
    const [x, y] = positionOf(edit.doc, id);
    const by: Point = [place[0] - x, place[1] - y];
    if (by[0] === 0 && by[1] === 0) continue;
    for (const [input, link] of linksInto(entry)) {
      const via = viaOf(edit, id, input);
      if (via.length > 0 && Object.hasOwn(places, link.node)) leadVia(edit, id, input, via.map(shifted(by)));
    }
  }
}

export function shifted([dx, dy]: Point): (point: Point) => Point {
  return ([x, y]) => [x + dx, y + dy];
}
