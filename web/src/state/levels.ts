/** Where in the subgraphs of a workflow one looks: the nodes on the way there, outer ones first. */
import type { Doc } from '../document/model';
import { levelsAt } from '../document/subgraphs';

export interface Place {
  readonly history: { readonly doc: Doc };
  readonly at?: readonly string[];
}

const NOWHERE: readonly string[] = [];

/** The definition that is looked at; null: the canvas. */
export function levelOf(place: Place): string | null {
  if (place.at === undefined || place.at.length === 0) return null;
  return levelsAt(place.history.doc, place.at).at(-1)?.id ?? null;
}

/** The nodes on the way, as far as they are still there. */
export function pathOf(place: Place | undefined): readonly string[] {
  if (place?.at === undefined || place.at.length === 0) return NOWHERE;
  return levelsAt(place.history.doc, place.at).map((one) => one.node);
}

/** What the ids of nodes at this place begin with in runs and problems. */
export function prefixOf(place: Place | undefined): string {
  const path = pathOf(place);
  return path.length === 0 ? '' : `${path.join('/')}/`;
}

/** The nodes around one, as runs call them, innermost first: `5/1` around `5/1/3`. */
export function around(id: string): string[] {
  const found: string[] = [];
  for (let cut = id.lastIndexOf('/'); cut > 0; cut = id.lastIndexOf('/', cut - 1)) found.push(id.slice(0, cut));
  return found;
}
