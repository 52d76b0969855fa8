/** Node types that a workflow uses and that are not here. */
import type { Catalog } from './catalog';
import { get, isObject } from './json';
import { type Doc, INLET, INSTANCE, OUTLET } from './model';

export interface Missing {
  readonly type: string;
  /** what would have it, as far as the workflow says */
  readonly pack: string | null;
  readonly count: number;
}

/** The most used first, in subgraphs too. */
export function missingTypes(doc: Doc, catalog: Catalog): Missing[] {
  const counts = new Map<string, number>();
  for (const { nodes } of [doc, ...Object.values(doc.subgraphs)]) {
    for (const { type } of Object.values(nodes)) {
      if (catalog.spec(type) === undefined && !isOwn(doc, type)) counts.set(type, (counts.get(type) ?? 0) + 1);
    }
  }
  return [...counts].map(([type, count]) => ({ type, pack: packOf(doc, type), count })).sort((a, b) => b.count - a.count);
}

/** Whether the workflow itself says what it is. */
function isOwn(doc: Doc, type: string): boolean {
  if (type === INLET || type === OUTLET) return true;
  return type.startsWith(INSTANCE) && Object.hasOwn(doc.subgraphs, type.slice(INSTANCE.length));
}

/** The pack that a type is of: said by its name, or noted by the program that the workflow is from. */
export function packOf(doc: Doc, type: string): string | null {
  if (type.startsWith(INSTANCE)) return null;
  if (type.includes('/')) return type.slice(0, type.indexOf('/'));
  const requires = get(doc.meta, 'requires');
  const noted = isObject(requires) ? get(requires, 'nodes') : undefined;
  const pack = isObject(noted) ? get(noted, type) : undefined;
  return typeof pack === 'string' && pack !== '' ? pack : null;
}
