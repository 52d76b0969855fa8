/** Finding node types: what is typed against titles, ids, categories and help; and only those that fit a dropped link. */
import type { Catalog, NodeSpec } from './catalog';
import { INLET, NOTE, OUTLET } from './model';
import { joint, type Type } from './types';

/** An end of a link that looks for a partner: an output of a type, or an input that wants one. */
export type Loose =
  | { readonly side: 'output'; readonly type: Type }
  | { readonly side: 'input'; readonly type: Type; readonly mapped: boolean };

export interface Found {
  readonly spec: NodeSpec;
  /** the input or output that would take the link */
  readonly partner: string | null;
  readonly score: number;
  /** what it stands under, if nothing was asked */
  readonly group?: string;
}

/** The best first; everything, by category and title, if nothing is asked. */
export function searchNodes(catalog: Catalog, query: string, loose: Loose | null, recent: readonly string[] = [], limit = 60): Found[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0 && loose === null) return browsed(catalog, recent);
  const found: Found[] = [];
  for (const spec of Object.values(catalog.specs)) {
    if (spec.id === INLET || spec.id === OUTLET) continue;
    const partner = loose === null ? null : partnerOf(spec, loose, catalog);
    if (loose !== null && partner === null) continue;
    const points = words.map((word) => scoreOf(spec, word));
    if (points.some((point) => point === 0)) continue;
    const sum = points.reduce((total, point) => total + point, 0);
    const score = sum + (partner === null ? 0 : partner.score - openEnds(spec, partner.name)) + bonus(spec, recent);
    found.push({ spec, partner: partner?.name ?? null, score });
  }
  return found.sort((a, b) => b.score - a.score || compareText(a.spec.title, b.spec.title)).slice(0, limit);
}

/** What a workflow is begun with stands first; categories of packs stand behind these, training last. */
const CATEGORIES = [
  'My nodes',
  'subgraphs',
  'loaders',
  'text',
  'sampling',
  'latent',
  'image',
  'mask',
  'values',
  'flow',
  'lists',
  'animation',
];
const LAST = ['metrics', 'training'];

function browsed(catalog: Catalog, recent: readonly string[]): Found[] {
  const specs = Object.values(catalog.specs).filter((spec) => spec.id !== INLET && spec.id !== OUTLET);
  const rank = ({ id, category }: NodeSpec): number => {
    const [lately, known, last] = [recent.indexOf(id), CATEGORIES.indexOf(category), LAST.indexOf(category)];
    return lately >= 0 ? lately - 100 : known >= 0 ? known : last >= 0 ? 100 + last : 50;
  };
  const sorted = specs.sort((a, b) => rank(a) - rank(b) || compareText(a.category, b.category) || compareText(a.title, b.title));
  return sorted.map((spec) => ({ spec, partner: null, score: 0, group: recent.includes(spec.id) ? 'used lately' : spec.category }));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What most workflows are made of: of many that fit, these are meant most often. */
const USUAL: ReadonlySet<string> = new Set([
  'LoadCheckpoint',
  'LoadLoRA',
  'CLIPEncode',
  'EmptyLatent',
  'KSampler',
  'VAEDecode',
  'VAEEncode',
  'ApplyControlNet',
  'LoadImage',
  'PreviewImage',
  'SaveImage',
  'LoadUpscaler',
  'UpscaleImage',
]);

function bonus(spec: NodeSpec, recent: readonly string[]): number {
  const place = recent.indexOf(spec.id);
  return (place >= 0 ? Math.max(1, 6 - place) : 0) + (USUAL.has(spec.id) ? 16 : 0) - (spec.status === 'deprecated' ? 20 : 0);
}

/** How many links more a node needs before it can run: of two that fit, the one that is ready sooner goes first. */
function openEnds(spec: NodeSpec, partner: string): number {
  return Object.entries(spec.inputs).filter(([name, input]) => name !== partner && input.required && input.widget === undefined).length;
}

/** The first exact partner, else the first that fits. An exact type is worth more than one that takes anything. */
export function partnerOf(spec: NodeSpec, loose: Loose, catalog: Catalog): { name: string; score: number } | null {
  if (spec.id === NOTE) return null;
  const ends = loose.side === 'output' ? Object.entries(spec.inputs) : Object.entries(spec.outputs);
  let best: { name: string; score: number } | null = null;
  for (const [name, end] of ends) {
    const type = catalog.parse(end.type);
    const mapped = 'mapped' in end && end.mapped === true;
    const how =
      loose.side === 'output' ? joint(type, loose.type, mapped, catalog.rules) : joint(loose.type, type, loose.mapped, catalog.rules);
    if (how === null) continue;
    const exact = JSON.stringify(type) === JSON.stringify(loose.type);
    const bare = 'widget' in end && end.widget !== undefined ? 0 : 2;
    const score = (exact ? 8 : type.kind === 'socket' ? 4 : 1) + bare;
    if (best === null || score > best.score) best = { name, score };
  }
  return best;
}

function scoreOf(spec: NodeSpec, word: string): number {
  const title = spec.title.toLowerCase();
  const id = spec.id.toLowerCase();
  if (title === word || id === word) return 100;
  if (title.startsWith(word) || id.startsWith(word)) return 60;
  if ([...title.split(/[\s_/]+/), ...partsOf(spec.id)].some((part) => part.startsWith(word))) return 45;
  if (initials(spec.title) === word) return 40;
  if (title.includes(word) || id.includes(word)) return 30;
  if (spec.category.toLowerCase().includes(word)) return 16;
  if (isSubsequence(word, id)) return 8;
  return spec.description.toLowerCase().includes(word) ? 4 : 0;
}

/** `ksampler` of `KSampler`, and `sampler`. */
function partsOf(id: string): string[] {
  return id.split(/(?=[A-Z][a-z])|[\s_/]+/).map((part) => part.toLowerCase());
}

function initials(title: string): string {
  return title
    .split(/\s+/)
    .map((word) => word[0] ?? '')
    .join('')
    .toLowerCase();
}

function isSubsequence(short: string, long: string): boolean {
  if (short.length < 3) return false;
  let at = 0;
  for (const letter of long) if (letter === short[at]) at++;
  return at === short.length;
}
