/** Which type really comes out of each node of a document, and what may be connected to what. */
import type { Catalog, InputSpec, NodeSpec } from './catalog';
import { get } from './json';
import { asLink, type Doc, type Link, linksInto } from './model';
import { ANY, isCast, type Joint, joint, substitute, type Type, typeName, typeOfValue, unify } from './types';

export type Verdict = { readonly ok: true; readonly how: Joint; readonly cast: boolean } | { readonly ok: false; readonly reason: string };

const views = new WeakMap<Doc, WeakMap<Catalog, Inference>>();

/** The types of a document; worked out once for each state of it. */
export function inferenceOf(doc: Doc, catalog: Catalog): Inference {
  const known = views.get(doc) ?? new WeakMap<Catalog, Inference>();
  views.set(doc, known);
  const view = known.get(catalog) ?? new Inference(doc, catalog);
  known.set(catalog, view);
  return view;
}

interface NodeTypes {
  readonly bound: ReadonlyMap<string, Type>;
  readonly mapped: boolean;
}

export class Inference {
  private readonly nodes = new Map<string, NodeTypes>();

  constructor(
    private readonly doc: Doc,
    private readonly catalog: Catalog,
  ) {}

  /** The type that comes along a link; anything if that cannot be known. */
  outputType(link: Link): Type {
    const entry = get(this.doc.nodes, link.node);
    const spec = entry && this.catalog.spec(entry.type);
    const output = spec && get(spec.outputs, link.output);
    if (spec === undefined || output === undefined) return ANY;
    const types = this.typesOf(link.node, spec);
    const type = substitute(this.catalog.parse(output.type), types.bound);
    return types.mapped ? { kind: 'list', item: type } : type;
  }

  /** What an input wants, with the variables of its node filled in by its other inputs. */
  inputType(node: string, input: string): Type {
    const entry = get(this.doc.nodes, node);
    const spec = entry && this.catalog.spec(entry.type);
    const found = spec && get(spec.inputs, input);
    return found === undefined ? ANY : this.catalog.parse(found.type);
  }

  /** Whether an output may be connected to an input now, how, and else why not. */
  canConnect(from: Link, node: string, input: string): Verdict {
    const entry = get(this.doc.nodes, node);
    const spec = entry && this.catalog.spec(entry.type);
    const target = spec && get(spec.inputs, input);
    if (target === undefined) return { ok: false, reason: 'there is no such input' };
    if (from.node === node || this.dependsOn(from.node, node)) return { ok: false, reason: 'its result would depend on itself' };
    const [wanted, source] = [this.catalog.parse(target.type), this.outputType(from)];
    const how = joint(wanted, source, target.mapped === true, this.catalog.rules);
    if (how === null) return { ok: false, reason: `wants ${typeName(wanted)}, this is ${typeName(source)}` };
    return { ok: true, how, cast: how !== 'plain' || isCast(wanted, source, this.catalog.rules) };
  }

  /** Whether the result of `node` depends on `other`. */
  dependsOn(node: string, other: string): boolean {
    const seen = new Set<string>();
    const stack = [node];
    for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
      if (id === other) return true;
      const entry = get(this.doc.nodes, id);
      if (seen.has(id) || entry === undefined) continue;
      seen.add(id);
      for (const [, link] of linksInto(entry)) stack.push(link.node);
    }
    return false;
  }

  /** Iterative, as chains of generic nodes may be long; a cycle ends at what is not known yet. */
  private typesOf(id: string, spec: NodeSpec): NodeTypes {
    const known = this.nodes.get(id);
    if (known !== undefined) return known;
    const stack: [string, NodeSpec][] = [[id, spec]];
    const above = new Set([id]);
    while (stack.length > 0) {
      const [node, nodeSpec] = stack[stack.length - 1]!;
      const next = this.sources(node, nodeSpec).find(([source]) => !this.nodes.has(source) && !above.has(source));
      if (next !== undefined) {
        stack.push(next);
        above.add(next[0]);
      } else {
        this.nodes.set(node, this.bind(node, nodeSpec));
        stack.pop();
      }
    }
    return this.nodes.get(id)!;
  }

  /** The nodes whose types this one's depend on: none, unless it is generic or maps over lists. */
  private sources(id: string, spec: NodeSpec): [string, NodeSpec][] {
    const entry = get(this.doc.nodes, id);
    const found: [string, NodeSpec][] = [];
    for (const [name, link] of entry === undefined ? [] : linksInto(entry)) {
      const input = get(spec.inputs, name);
      const source = get(this.doc.nodes, link.node);
      const sourceSpec = source && this.catalog.spec(source.type);
      if (input !== undefined && sourceSpec !== undefined && this.matters(input)) found.push([link.node, sourceSpec]);
    }
    return found;
  }

  private matters(input: InputSpec): boolean {
    return input.mapped === true || hasVariable(this.catalog.parse(input.type));
  }

  private bind(id: string, spec: NodeSpec): NodeTypes {
    const bound = new Map<string, Type>();
    let mapped = false;
    for (const [name, input] of Object.entries(spec.inputs)) {
      if (!this.matters(input)) continue;
      const value = get(get(this.doc.nodes, id)?.inputs, name);
      const link = asLink(value);
      const source = link === null ? typeOfValue(value) : this.knownOutput(link);
      if (source === null) continue;
      const wanted = this.catalog.parse(input.type);
      const each = input.mapped === true && source.kind === 'list' && wanted.kind !== 'list';
      mapped ||= each;
      unify(wanted, each ? source.item : source, bound, this.catalog.rules);
    }
    return { bound, mapped };
  }

  private knownOutput(link: Link): Type | null {
    const entry = get(this.doc.nodes, link.node);
    const known = this.nodes.has(link.node) && entry !== undefined && this.catalog.spec(entry.type) !== undefined;
    return known ? this.outputType(link) : null;
  }
}

function hasVariable(type: Type): boolean {
  if (type.kind === 'var') return true;
  if (type.kind === 'list') return hasVariable(type.item);
  return type.kind === 'union' && type.members.some(hasVariable);
}
