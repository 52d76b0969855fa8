/** Pictures that can be looked at: where they are, and where they come from. */
import type { Catalog } from './catalog';
import { get } from './json';
import { asLink, type Doc, definitionOf, linksInto, viewOf } from './model';
import { catalogAt, levelsAt } from './subgraphs';

export interface Picture {
  readonly url: string;
  readonly name: string;
  /** what it is called among others, such as the title of its node */
  readonly label?: string;
  /** the node that shows it, and the run that made it */
  readonly node?: string;
  readonly run?: string;
  /** its name in the input folder, if it is there */
  readonly file?: string;
}

/** A picture of the input folder that is painted on, and the widget that names it; without a node a new one is made. */
export interface PaintTarget {
  readonly file: string;
  readonly node: string | null;
  readonly input: string;
}

export const PICTURE_NAME = /\.(png|apng|jpe?g|webp|gif|bmp|tiff?)$/i;

/** The input of a node that names a picture, if one does and no link feeds it. */
export function pictureInputOf(doc: Doc, catalog: Catalog, node: string): string | null {
  const entry = get(doc.nodes, node);
  const spec = entry && catalog.spec(entry.type);
  if (spec === undefined) return null;
  const found = Object.entries(spec.inputs).find(
    ([name, input]) => input.widget?.kind === 'file' && input.widget.accept === 'image' && asLink(get(entry?.inputs, name)) === null,
  );
  return found?.[0] ?? null;
}

/** A node type that reads pictures, for one that has none yet: the plainest, which gives a picture. */
export function loaderIn(catalog: Catalog): { type: string; input: string } | null {
  for (const spec of Object.values(catalog.specs)) {
    const input = Object.entries(spec.inputs).find(([, one]) => one.widget?.kind === 'file' && one.widget.accept === 'image');
    if (input !== undefined && Object.values(spec.outputs).some((output) => output.type === 'image'))
      return { type: spec.id, input: input[0] };
  }
  return null;
}

/** One thing worth knowing of how a picture was made. */
export interface Fact {
  readonly node: string;
  readonly title: string;
  readonly label: string;
  readonly value: string;
  readonly kind: 'seed' | 'prompt' | 'model' | 'setting';
}

const MOST_LOOKED_AT = 5000;

/** A node by its path, and where it stands. */
interface Place {
  readonly level: string | null;
  readonly prefix: string;
  readonly id: string;
}

/**
 * Seeds, prompts, models and the settings beside a seed: of what led to a node, the nearest first; of everything without one.
 * `node`: by its path, such as `5/1`; of a subgraph on the way also what is inside.
 */
export function factsOf(doc: Doc, catalog: Catalog, node?: string): Fact[] {
  const found = placesBefore(doc, node).flatMap(({ level, prefix, id }) => {
    const facts = factsOfNode(viewOf(doc, level), catalogAt(catalog, doc, level), id);
    return facts.map((fact): Fact => ({ ...fact, node: prefix + fact.node }));
  });
  const order = ['prompt', 'seed', 'setting', 'model'];
  return found.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

function placesBefore(doc: Doc, path: string | undefined): Place[] {
  const parts = path?.split('/') ?? [];
  const levels = levelsAt(doc, parts.slice(0, -1));
  const found: Place[] = [];
  for (let depth = levels.length; depth >= 0; depth--) {
    const level = levels[depth - 1]?.id ?? null;
    const view = viewOf(doc, level);
    const prefix = parts
      .slice(0, depth)
      .map((one) => `${one}/`)
      .join('');
    const passed = levels[depth]?.node;
    const id = passed ?? parts.slice(depth).join('/');
    const ids = Object.hasOwn(view.nodes, id) ? upstreamOf(view, id) : Object.keys(view.nodes);
    for (const one of ids) {
      const place = { level, prefix, id: one };
      found.push(...(one === passed ? [place] : placeAndInside(doc, place)));
    }
  }
  return found.slice(0, MOST_LOOKED_AT);
}

/** A node, and if it is a subgraph all that is in it. */
function placeAndInside(doc: Doc, start: Place): Place[] {
  const found = [start];
  for (const { level, prefix, id } of found) {
    const inner = definitionOf(get(viewOf(doc, level).nodes, id));
    if (inner === null || found.length > MOST_LOOKED_AT) continue;
    const within = Object.keys(get(doc.subgraphs, inner)?.nodes ?? {});
    found.push(...within.map((one): Place => ({ level: inner, prefix: `${prefix}${id}/`, id: one })));
  }
  return found;
}

function factsOfNode(doc: Doc, catalog: Catalog, id: string): Fact[] {
  const entry = get(doc.nodes, id);
  const spec = entry && catalog.spec(entry.type);
  if (entry === undefined || spec === undefined) return [];
  const samples = Object.values(spec.inputs).some((input) => input.widget?.kind === 'seed');
  return Object.entries(spec.inputs).flatMap(([name, input]): Fact[] => {
    const value = get(entry.inputs, name) ?? input.default ?? null;
    if (value === null || value === '' || asLink(value) !== null || typeof value === 'object' || input.widget === undefined) return [];
    const { kind, prompt, multiline } = input.widget;
    const about = { node: id, title: entry.title || spec.title, label: name.replaceAll('_', ' '), value: String(value) };
    if (kind === 'seed') return [{ ...about, kind: 'seed' }];
    if (kind === 'text' && (prompt === true || multiline === true)) return [{ ...about, kind: 'prompt' }];
    if (kind === 'model') return [{ ...about, kind: 'model' }];
    return samples ? [{ ...about, kind: 'setting' }] : [];
  });
}

/** A node and everything that it depends on, the nearest first. */
function upstreamOf(doc: Doc, node: string): string[] {
  const found = [node];
  for (const id of found) {
    for (const [, link] of linksInto(doc.nodes[id]!)) {
      if (Object.hasOwn(doc.nodes, link.node) && !found.includes(link.node)) found.push(link.node);
    }
  }
  return found;
}
