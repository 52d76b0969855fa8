/** Subgraphs as node types: what the palette offers, what nodes show and what may be connected, by their definitions. */
import type { Catalog, InputSpec, NodeSpec } from './catalog';
import { get } from './json';
import { type Definition, type Doc, definitionOf, INLET, INSTANCE, OUTLET, type Port } from './model';

/** The ids of the definitions whose instances stand among the nodes of a definition, or of those within it. */
export function usedBy(doc: Doc, roots: readonly string[]): Set<string> {
  const found = new Set<string>();
  const stack = [...roots];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    const definition = get(doc.subgraphs, id);
    if (definition === undefined || found.has(id)) continue;
    found.add(id);
    stack.push(...instancesIn(definition.nodes));
  }
  return found;
}

/** The definitions that nodes stand for. */
export function instancesIn(nodes: Doc['nodes']): string[] {
  return Object.values(nodes).flatMap((entry) => definitionOf(entry) ?? []);
}

/** Whether a definition may stand inside another one: not if that one is in it. */
export function mayContain(doc: Doc, level: string | null, id: string): boolean {
  return level === null || !usedBy(doc, [id]).has(level);
}

function inputOf({ name: _, ...port }: Port): InputSpec {
  return { ...port, type: typeof port.type === 'string' ? port.type : '*', required: !('default' in port) };
}

function byName(ports: readonly Port[]): Record<string, InputSpec> {
  return Object.fromEntries(ports.map((port) => [port.name, inputOf(port)]));
}

function specOf(id: string, definition: Definition, outputNode: boolean): NodeSpec {
  return {
    ...PLAIN,
    id: INSTANCE + id,
    title: definition.name || 'Subgraph',
    category: 'subgraphs',
    description: definition.description ?? 'A subgraph of this workflow.',
    output_node: outputNode,
    inputs: byName(definition.inputs),
    outputs: byName(definition.outputs),
  };
}

const PLAIN = { version: 1, status: 'stable', pack: '', lane: 'cpu' } as const;

function borderSpecs(definition: Definition): NodeSpec[] {
  const common = { ...PLAIN, category: 'subgraphs', output_node: false };
  const outer = Object.fromEntries(definition.outputs.map((port) => [port.name, { type: inputOf(port).type, required: false }]));
  return [
    { ...common, id: INLET, title: 'Inputs', description: 'What comes in from outside.', inputs: {}, outputs: byName(definition.inputs) },
    { ...common, id: OUTLET, title: 'Outputs', description: 'What goes out.', inputs: outer, outputs: {} },
  ];
}

const saves = new WeakMap<Catalog, WeakMap<object, boolean>>();

/** Whether something inside saves or shows: such a node has room for a picture. */
function showsInside(doc: Doc, id: string, base: Catalog): boolean {
  const known = saves.get(base) ?? new WeakMap<object, boolean>();
  saves.set(base, known);
  return [...usedBy(doc, [id])].some((inner) => {
    const { nodes } = doc.subgraphs[inner]!;
    const found = known.get(nodes) ?? Object.values(nodes).some((entry) => base.spec(entry.type)?.output_node === true);
    known.set(nodes, found);
    return found;
  });
}

interface Made {
  readonly from: readonly unknown[];
  readonly catalog: Catalog;
}
const made = new WeakMap<Catalog, Made>();

/** The node types there are at one level of a document. The same catalog as long as no port or name has changed. */
export function catalogAt(base: Catalog, doc: Doc, level: string | null, more: Readonly<Record<string, NodeSpec>> = NO_MORE): Catalog {
  const all = Object.entries(doc.subgraphs);
  if (all.length === 0 && more === NO_MORE) return base;
  const from: unknown[] = [level, more];
  const specs: NodeSpec[] = [];
  for (const [id, definition] of all) {
    if (!mayContain(doc, level, id)) continue;
    const shows = showsInside(doc, id, base);
    from.push(id, definition.name, definition.description, definition.inputs, definition.outputs, shows);
    specs.push(specOf(id, definition, shows));
  }
  const here = level === null ? undefined : get(doc.subgraphs, level);
  if (here !== undefined) {
    from.push(here.inputs, here.outputs);
    specs.push(...borderSpecs(here));
  }
  const known = made.get(base);
  if (known !== undefined && known.from.length === from.length && known.from.every((one, i) => one === from[i])) return known.catalog;
  const catalog = base.with({ ...more, ...Object.fromEntries(specs.map((spec) => [spec.id, spec])) });
  made.set(base, { from, catalog });
  return catalog;
}

export const NO_MORE: Readonly<Record<string, NodeSpec>> = {};

/** The definitions on the way to a place inside, from the canvas on; cut off where there is none any more. */
export function levelsAt(doc: Doc, path: readonly string[]): { readonly node: string; readonly id: string }[] {
  const found: { node: string; id: string }[] = [];
  let { nodes } = doc;
  for (const node of path) {
    const id = definitionOf(get(nodes, node));
    const definition = id === null ? undefined : get(doc.subgraphs, id);
    if (id === null || definition === undefined || found.some((one) => one.id === id)) break;
    found.push({ node, id });
    nodes = definition.nodes;
  }
  return found;
}

/** `name`, or with a number behind it if that is taken. */
export function freeName(name: string, taken: (name: string) => boolean): string {
  if (!taken(name)) return name;
  for (let i = 2; ; i++) if (!taken(`${name}_${i}`)) return `${name}_${i}`;
}
