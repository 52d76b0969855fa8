/** Which nodes a run will have to look at: what its targets need, but nothing above a result that is there already. */
import type { Catalog } from './catalog';
import { get } from './json';
import { type Doc, linksInto } from './model';

/** The sources of each node, and where the walk begins. */
export interface Demand {
  readonly roots: readonly string[];
  readonly sources: Readonly<Record<string, readonly string[]>>;
}

/** `targets`: null for every output node. */
export function demandOf(doc: Doc, catalog: Catalog, targets: readonly string[] | null): Demand {
  const live = Object.entries(doc.nodes).filter(([, entry]) => entry.mode !== 'muted');
  const sources = Object.fromEntries(live.map(([id, entry]) => [id, linksInto(entry).map(([, link]) => link.node)]));
  const roots = targets ?? live.filter(([, entry]) => catalog.spec(entry.type)?.output_node).map(([id]) => id);
  return { roots, sources };
}

export function demanded({ roots, sources }: Demand, known: ReadonlySet<string>): ReadonlySet<string> {
  const found = new Set<string>();
  const waiting = [...roots];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (found.has(id) || known.has(id) || get(sources, id) === undefined) continue;
    found.add(id);
    waiting.push(...sources[id]!);
  }
  return found;
}
