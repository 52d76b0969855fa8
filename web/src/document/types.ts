/** What may flow along a link: the same rules as `nodegraph/types.py`, checked against one table by the tests of both. */

import { get } from './json';

export type Type =
  | { readonly kind: 'socket'; readonly name: string }
  | { readonly kind: 'list'; readonly item: Type }
  | { readonly kind: 'union'; readonly members: readonly Type[] }
  | { readonly kind: 'var'; readonly name: string }
  | { readonly kind: 'any' };

/** `plain`: as it is; `wrap`: as a list of one; `each`: one call an item. */
export type Joint = 'plain' | 'wrap' | 'each';

export const ANY: Type = { kind: 'any' };

/** What is known of socket types: their parents, and which are converted into which by themselves. */
export interface TypeRules {
  readonly parents: ReadonlyMap<string, readonly string[]>;
  /** `target<source` of every cast */
  readonly casts: ReadonlySet<string>;
}

const parsed = new WeakMap<TypeRules, Map<string, Type>>();

/** A type from its compact form: `image`, `list[image]`, `image|mask`, `*`; a name that is no socket type is a variable. */
export function parseType(text: string, rules: TypeRules): Type {
  const cache = parsed.get(rules) ?? new Map<string, Type>();
  parsed.set(rules, cache);
  const type = cache.get(text) ?? parseNew(text, rules);
  if (cache.size < 10_000) cache.set(text, type);
  return type;
}

function parseNew(text: string, rules: TypeRules): Type {
  const members = splitUnion(text);
  if (members.length > 1) return { kind: 'union', members: members.map((member) => parseType(member, rules)) };
  if (text.startsWith('list[') && text.endsWith(']')) return { kind: 'list', item: parseType(text.slice(5, -1), rules) };
  if (text === '*') return ANY;
  return { kind: rules.parents.has(text) ? 'socket' : 'var', name: text };
}

function splitUnion(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '[') depth++;
    else if (text[i] === ']') depth--;
    else if (text[i] === '|' && depth === 0) {
      found.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...found, text.slice(start)];
}

/** For people: `list of image`, `image or mask`. */
export function typeName(type: Type): string {
  switch (type.kind) {
    case 'list':
      return `list of ${typeName(type.item)}`;
    case 'union':
      return type.members.map(typeName).join(' or ');
    case 'any':
      return 'anything';
    default:
      return type.name;
  }
}

/** The form in which types are saved and described: `image`, `list[image]`, `image|mask`, `*`. */
export function typeText(type: Type): string {
  switch (type.kind) {
    case 'list':
      return `list[${typeText(type.item)}]`;
    case 'union':
      return type.members.map(typeText).join('|');
    case 'socket':
      return type.name;
    default:
      return '*';
  }
}

export function sameType(a: Type, b: Type): boolean {
  return a === b || (typeName(a) === typeName(b) && a.kind === b.kind);
}

function isOpen(type: Type): boolean {
  return type.kind === 'any' || type.kind === 'var';
}

/** Whether an output of type `source` may be connected to an input of type `target`. */
export function accepts(target: Type, source: Type, rules: TypeRules): boolean {
  if (isOpen(target) || isOpen(source)) return true;
  if (source.kind === 'union') return source.members.every((member) => accepts(target, member, rules));
  if (target.kind === 'union') return target.members.some((member) => accepts(member, source, rules));
  if (target.kind === 'list' || source.kind === 'list') {
    return target.kind === 'list' && source.kind === 'list' && accepts(target.item, source.item, rules);
  }
  return target.kind === 'socket' && source.kind === 'socket' && acceptsSocket(target.name, source.name, rules);
}

function acceptsSocket(target: string, source: string, rules: TypeRules): boolean {
  return lineage(source, rules).some((name) => name === target || rules.casts.has(`${target}<${name}`));
}

function lineage(name: string, rules: TypeRules): string[] {
  const found = [name];
  for (const known of found) {
    for (const parent of rules.parents.get(known) ?? []) if (!found.includes(parent)) found.push(parent);
  }
  return found;
}

/** How an output meets an input; null if it may not. `each`: the input maps over lists. */
export function joint(target: Type, source: Type, each: boolean, rules: TypeRules): Joint | null {
  if (each && source.kind === 'list' && target.kind !== 'list') return accepts(target, source.item, rules) ? 'each' : null;
  if (target.kind === 'list' && source.kind !== 'list' && !isOpen(source) && accepts(target.item, source, rules)) return 'wrap';
  return accepts(target, source, rules) ? 'plain' : null;
}

/** Whether a link changes the value on its way: shown on the link. */
export function isCast(target: Type, source: Type, rules: TypeRules): boolean {
  if (target.kind !== 'socket' || source.kind !== 'socket' || target.name === source.name) return false;
  return !lineage(source.name, rules).includes(target.name);
}

/** The wider of two types that meet in one variable. */
export function join(first: Type, second: Type, rules: TypeRules): Type {
  if (isOpen(first)) return second;
  return !accepts(first, second, rules) && accepts(second, first, rules) ? second : first;
}

/** Notes what the variables in `target` stand for if `source` meets it. */
export function unify(target: Type, source: Type, bound: Map<string, Type>, rules: TypeRules): void {
  if (target.kind === 'var') {
    const known = bound.get(target.name);
    bound.set(target.name, known === undefined ? source : join(known, source, rules));
  } else if (target.kind === 'list') unify(target.item, source.kind === 'list' ? source.item : source, bound, rules);
}

/** A type with its variables replaced by what they stand for; unbound ones may be anything. */
export function substitute(type: Type, bound: ReadonlyMap<string, Type>): Type {
  if (type.kind === 'var') return bound.get(type.name) ?? ANY;
  if (type.kind === 'list') return { kind: 'list', item: substitute(type.item, bound) };
  if (type.kind === 'union') return { kind: 'union', members: type.members.map((member) => substitute(member, bound)) };
  return type;
}

const PLAIN: Readonly<Record<string, string>> = { string: 'str', boolean: 'bool', bigint: 'int' };

/** The type of plain data; null if it says nothing. */
export function typeOfValue(value: unknown): Type | null {
  if (Array.isArray(value)) {
    const kinds = value.map(typeOfValue);
    const first = kinds[0];
    if (!first || !kinds.every((kind) => kind !== null && sameType(kind, first))) return null;
    return { kind: 'list', item: first };
  }
  if (typeof value === 'number') return { kind: 'socket', name: Number.isInteger(value) ? 'int' : 'float' };
  const name = get(PLAIN, typeof value);
  return name === undefined ? null : { kind: 'socket', name };
}
