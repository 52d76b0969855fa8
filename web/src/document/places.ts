/** Places of a document and what stands there, in words for people. */
import type { Catalog } from './catalog';
import { get, type Json } from './json';
import { asLink, type Doc, type NodeEntry } from './model';

/** `docs`: where to look for the names of nodes, the best first. */
export function placeName(path: readonly string[], docs: readonly Doc[], catalog: Catalog): string {
  const [part, id, field, name] = path as [string, string?, string?, string?];
  if (part === 'nodes' && id !== undefined) {
    const title = nodeName(id, docs, catalog);
    if (field === undefined) return title;
    return `${title} · ${(name ?? field).replaceAll('_', ' ')}`;
  }
  if (part === 'groups' && id !== undefined) return `Group “${id.split('\u0000')[0] || 'Group'}”`;
  if (part === 'subgraphs' && id !== undefined) return `Subgraph “${id}”`;
  return path.filter((key) => key !== 'meta').join(' · ');
}

export function nodeName(id: string, docs: readonly Doc[], catalog: Catalog): string {
  const entry = docs.map((doc) => get(doc.nodes, id)).find((one) => one !== undefined);
  return entry === undefined ? id : entry.title || catalog.spec(entry.type)?.title || entry.type;
}

/** A value in a few words. `absent`: what to call it if there is nothing. */
export function valueName(value: Json | undefined, docs: readonly Doc[], catalog: Catalog, absent: string): string {
  if (value === undefined) return absent;
  if (value === null) return 'nothing';
  const link = asLink(value);
  if (link !== null) return `from ${nodeName(link.node, docs, catalog)} · ${link.output}`;
  if (typeof value === 'string') return value === '' ? 'no text' : value.length > 400 ? `${value.slice(0, 400)}…` : value;
  if (typeof value !== 'object') return String(value);
  const node = value as unknown as NodeEntry;
  if (typeof node.type === 'string') return `kept, with its changes`;
  return Array.isArray(value) ? `${value.length} items` : 'changed';
}
