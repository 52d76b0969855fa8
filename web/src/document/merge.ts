/**
 * Two people changed the same workflow: what each of them did to what they began with, put together.
 * Changes of different things merge by themselves; of the same thing one has to be chosen.
 */
import { freeId } from './edits/nodes';
import { get, isObject, type Json, type JsonObject, same } from './json';
import { asLink, checkDocument, type Doc, linkValue } from './model';

export type Side = 'mine' | 'theirs';

/** One place that both sides changed, in different ways. Undefined where a side has nothing. */
export interface Conflict {
  readonly path: readonly string[];
  readonly base: Json | undefined;
  readonly mine: Json | undefined;
  readonly theirs: Json | undefined;
}

export interface Merged {
  readonly doc: Doc;
  readonly conflicts: readonly Conflict[];
}

/** How a choice is remembered. */
export function placeOf(path: readonly string[]): string {
  return JSON.stringify(path);
}

/** `chosen`: by `placeOf` its path, which side has it; mine otherwise. Where things lie is never asked: there mine is taken. */
export function merge(base: Doc, mine: Doc, theirs: Doc, chosen: Readonly<Record<string, Side>> = {}): Merged {
  const [began, there] = [treeOf(base), treeOf(theirs)];
  const here = separated(began, treeOf(mine), there);
  const work = new Work(chosen, { base: began, mine: here, theirs: there });
  const tree = work.tree([], began, here, there);
  return { doc: documentOf(tidied(tree, [began, here, there])), conflicts: work.conflicts };
}

// ------------------------------------------------------------------------------------------------ as a tree

/** With groups by title, as their places in the list say nothing. */
function treeOf(doc: Doc): JsonObject {
  const tree = doc as unknown as JsonObject;
  const counts = new Map<string, number>();
  const groups = doc.groups.map((group): [string, Json] => {
    const title = group.title ?? '';
    const count = (counts.get(title) ?? 0) + 1;
    counts.set(title, count);
    return [`${title}\u0000${count}`, group as unknown as Json];
  });
  return { ...tree, groups: Object.fromEntries(groups) };
}

function documentOf(tree: JsonObject): Doc {
  return checkDocument({ ...tree, groups: Object.values(tree['groups'] as JsonObject) });
}

/** Nodes that both sides added under the same id are different ones: mine get other ids. */
function separated(base: JsonObject, mine: JsonObject, theirs: JsonObject): JsonObject {
  const ids = new Map<string, string>();
  const [before, here, there] = [nodesOf(base), nodesOf(mine), nodesOf(theirs)];
  const taken = { ...here, ...there };
  for (const [id, node] of Object.entries(here)) {
    if (Object.hasOwn(before, id) || !Object.hasOwn(there, id) || same(node, there[id])) continue;
    const fresh = freeId({ nodes: taken as unknown as Doc['nodes'], layout: {} });
    taken[fresh] = node;
    ids.set(id, fresh);
  }
  return ids.size === 0 ? mine : renamed(mine, ids);
}

function renamed(tree: JsonObject, ids: ReadonlyMap<string, string>): JsonObject {
  const keys = (record: JsonObject): JsonObject =>
    Object.fromEntries(Object.entries(record).map(([id, value]) => [ids.get(id) ?? id, value]));
  return { ...tree, nodes: relinked(keys(nodesOf(tree)), ids), layout: keys(part(tree, 'layout')) };
}

function relinked(value: Json, ids: ReadonlyMap<string, string>): Json {
  const link = asLink(value);
  if (link !== null) return linkValue({ node: ids.get(link.node) ?? link.node, output: link.output });
  if (Array.isArray(value)) return value.map((item) => relinked(item, ids));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, relinked(inner, ids)]));
}

// ------------------------------------------------------------------------------------------------ three ways

interface Sides {
  readonly base: JsonObject;
  readonly mine: JsonObject;
  readonly theirs: JsonObject;
}

class Work {
  readonly conflicts: Conflict[] = [];

  constructor(
    private readonly chosen: Readonly<Record<string, Side>>,
    private readonly sides: Sides,
  ) {}

  /** In their order, what is new of mine behind. */
  tree(path: readonly string[], base: JsonObject, mine: JsonObject, theirs: JsonObject): JsonObject {
    const found: [string, Json][] = [];
    for (const key of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
      const value = this.value([...path, key], get(base, key), get(mine, key), get(theirs, key));
      if (value !== undefined) found.push([key, value]);
    }
    return Object.fromEntries(found);
  }

  private value(path: readonly string[], base: Json | undefined, mine: Json | undefined, theirs: Json | undefined): Json | undefined {
    if (same(mine, theirs)) return mine;
    const needed = this.neededBy(path, base, mine, theirs);
    if (needed === null && same(mine, base)) return theirs;
    if (needed === null && same(theirs, base)) return mine;
    if (needed === null && isObject(mine) && isObject(theirs) && !isWhole(path))
      return this.tree(path, isObject(base) ? base : {}, mine, theirs);
    if (path[0] === 'layout') return mine ?? theirs;
    const conflict = { path, base, mine, theirs };
    this.conflicts.push(conflict);
    return (get(this.chosen, placeOf(path)) ?? 'mine') === 'mine' ? mine : theirs;
  }

  /** Which side still uses a node that the other one deleted. */
  private neededBy(path: readonly string[], base: Json | undefined, mine: Json | undefined, theirs: Json | undefined): Side | null {
    if (path.length !== 2 || path[0] !== 'nodes' || base === undefined) return null;
    if (theirs === undefined && this.uses('mine', path[1]!)) return 'mine';
    return mine === undefined && this.uses('theirs', path[1]!) ? 'theirs' : null;
  }

  /** Whether a side has a link from this node that was not there before. */
  private uses(side: Side, node: string): boolean {
    return Object.entries(nodesOf(this.sides[side])).some(([id, entry]) =>
      Object.entries(inputsOf(entry)).some(
        ([name, value]) => asLink(value)?.node === node && !same(value, get(inputsOf(get(nodesOf(this.sides.base), id)), name)),
      ),
    );
  }
}

/** What is one thing: the value of an input, a frame, the inside of a subgraph. */
function isWhole(path: readonly string[]): boolean {
  const above = path[path.length - 2] ?? '';
  return ['inputs', 'held', 'groups', 'subgraphs'].includes(above);
}

// ------------------------------------------------------------------------------------------------ what is left over

/** Without links from nodes that were deleted, and without places of such. */
function tidied(tree: JsonObject, all: readonly JsonObject[]): JsonObject {
  const nodes = nodesOf(tree);
  const gone = new Set(all.flatMap((one) => Object.keys(nodesOf(one))).filter((id) => !Object.hasOwn(nodes, id)));
  if (gone.size === 0) return tree;
  const kept = Object.entries(nodes).map(([id, node]): [string, Json] => {
    const inputs = Object.entries(inputsOf(node)).filter(([, value]) => !gone.has(asLink(value)?.node ?? ''));
    return [id, isObject(node) && isObject(node['inputs']) ? { ...node, inputs: Object.fromEntries(inputs) } : node];
  });
  const layout = Object.entries(part(tree, 'layout')).filter(([id]) => !gone.has(id));
  return { ...tree, nodes: Object.fromEntries(kept), layout: Object.fromEntries(layout) };
}

function part(tree: JsonObject, name: string): JsonObject {
  const value = get(tree, name);
  return isObject(value) ? value : {};
}

function nodesOf(scope: JsonObject): JsonObject {
  return part(scope, 'nodes');
}

function inputsOf(node: Json | undefined): JsonObject {
  return isObject(node) ? part(node, 'inputs') : {};
}

// ------------------------------------------------------------------------------------------------ in words

export interface Difference {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

/** How many nodes came, went and became others. */
export function differenceOf(before: Doc, after: Doc): Difference {
  const ids = Object.keys(after.nodes);
  return {
    added: ids.filter((id) => !Object.hasOwn(before.nodes, id)).length,
    removed: Object.keys(before.nodes).filter((id) => !Object.hasOwn(after.nodes, id)).length,
    changed: ids.filter((id) => Object.hasOwn(before.nodes, id) && !same(before.nodes[id], after.nodes[id])).length,
  };
}
