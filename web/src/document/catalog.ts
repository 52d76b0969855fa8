/** The node types there are, as the server told them, and the rules of their socket types. */
import type { InputSpec, NodeSpec } from '../wire';
import { get, type Json } from './json';
import { asLink, type Link, type NodeEntry } from './model';
import { joint, parseType, type Type, type TypeRules, typeName } from './types';

/** What `GET /api/v1/nodes` answers. */
export interface CatalogJson {
  readonly nodes: Readonly<Record<string, NodeSpec>>;
  readonly types: Readonly<Record<string, { readonly color: string; readonly description: string; readonly parents: readonly string[] }>>;
  readonly casts: readonly (readonly string[])[];
}

export type { InputSpec, NodeSpec, OutputSpec, WidgetSpec } from '../wire';

const GREY = '#9aa0a6';

export class Catalog {
  readonly specs: Readonly<Record<string, NodeSpec>>;
  readonly rules: TypeRules;
  private readonly colors: ReadonlyMap<string, string>;
  private readonly abouts: ReadonlyMap<string, string>;

  constructor(private readonly json: CatalogJson) {
    this.specs = json.nodes;
    this.rules = {
      parents: new Map(Object.entries(json.types).map(([name, type]) => [name, type.parents])),
      casts: new Set(json.casts.map(([target, source]) => `${target}<${source}`)),
    };
    this.abouts = new Map(Object.entries(json.types).map(([name, type]) => [name, type.description]));
    this.colors = new Map(Object.entries(json.types).map(([name, type]) => [name, type.color]));
  }

  /** With further node types. */
  with(specs: Readonly<Record<string, NodeSpec>>): Catalog {
    return new Catalog({ ...this.json, nodes: { ...this.json.nodes, ...specs } });
  }

  spec(type: string): NodeSpec | undefined {
    return get(this.specs, type);
  }

  parse(type: string): Type {
    return parseType(type, this.rules);
  }

  /** The colour of a handle or link: of the innermost or first named type. */
  color(type: Type): string {
    if (type.kind === 'list') return this.color(type.item);
    if (type.kind === 'union') return this.color(type.members[0] ?? { kind: 'any' });
    return type.kind === 'socket' ? (this.colors.get(type.name) ?? GREY) : GREY;
  }

  /** The first paragraph of what a socket type is. */
  about(type: Type): string {
    if (type.kind === 'list') return this.about(type.item);
    return type.kind === 'socket' ? ((this.abouts.get(type.name) ?? '').split('\n\n')[0] ?? '') : '';
  }

  /** Whether the two ends could be joined, by what their node types declare. */
  mayJoin(input: InputSpec, source: Type): boolean {
    return joint(this.parse(input.type), source, input.mapped === true, this.rules) !== null;
  }
}

export const EMPTY_CATALOG = new Catalog({ nodes: {}, types: {}, casts: [] });

/** The value that is typed in, else the default of the input. */
export function literalOf(entry: NodeEntry, name: string, spec: InputSpec | undefined): Json {
  const value = get(entry.inputs, name);
  return value !== undefined && asLink(value) === null ? value : (spec?.default ?? null);
}

/** The link a bypassed or deleted node hands on for one of its outputs: the input in the same place, else one of the same type, else one that fits. */
export function handedOn(entry: NodeEntry, output: string, catalog: Catalog, wanted: Type): Link | null {
  const spec = catalog.spec(entry.type);
  const offered = spec && get(spec.outputs, output);
  if (spec === undefined || offered === undefined) return null;
  const place = Object.keys(spec.inputs)[Object.keys(spec.outputs).indexOf(output)];
  const rank = (name: string, input: InputSpec): number => (name === place ? 0 : input.type === offered.type ? 1 : 2);
  const given = catalog.parse(offered.type);
  const ranked = Object.entries(spec.inputs)
    .map(([name, input]) => ({ link: asLink(get(entry.inputs, name)), rank: rank(name, input), type: catalog.parse(input.type) }))
    .filter((one) => one.link !== null && fits(given, one.type, catalog) && fits(wanted, one.type, catalog))
    .sort((a, b) => a.rank - b.rank);
  return ranked[0]?.link ?? null;
}

function fits(target: Type, source: Type, catalog: Catalog): boolean {
  return joint(target, source, false, catalog.rules) === 'plain';
}

/** A line for people: `seed: int, 0 to 100`. */
export function describeInput(name: string, input: InputSpec, catalog: Catalog): string {
  const range = input.minimum !== undefined && input.maximum !== undefined ? `, ${input.minimum} to ${input.maximum}` : '';
  return `${name}: ${typeName(catalog.parse(input.type))}${range}${input.required && !input.widget ? ', must be connected' : ''}`;
}
