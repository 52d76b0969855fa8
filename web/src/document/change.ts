/** Edits as data: each change says what was and what is at one place of the document, so that its inverse needs no thought. */
import { get, type Json } from './json';
import type { Doc } from './model';

/**
 * `before` or `after` is undefined where there is nothing.
 * `next`: the key in front of which it stood, so that what comes back comes back to its place.
 */
export interface Change {
  readonly path: readonly string[];
  readonly before: Json | undefined;
  readonly after: Json | undefined;
  readonly next?: string;
}

type Tree = { readonly [key: string]: Json };

export function applyChanges(doc: Doc, changes: readonly Change[]): Doc {
  return changes.reduce((now, change) => put(now as unknown as Tree, change.path, change.after, change.next) as unknown as Doc, doc);
}

export function inverseOf(changes: readonly Change[]): Change[] {
  return changes.map((change) => ({ ...change, before: change.after, after: change.before })).reverse();
}

/** Untouched parts keep their identity. Raises Error if the way there does not exist. */
function put(tree: Tree, path: readonly string[], value: Json | undefined, next: string | undefined): Tree {
  const [key, ...rest] = path as [string, ...string[]];
  if (rest.length === 0) return value === undefined ? without(tree, key) : placed(tree, key, value, next);
  const inner = get(tree, key);
  if (typeof inner !== 'object' || inner === null) throw new Error(`there is nothing at ${path.join('.')}`);
  return { ...tree, [key]: put(inner as Tree, rest, value, next) as Json };
}

function without(tree: Tree, key: string): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([name]) => name !== key));
}

function placed(tree: Tree, key: string, value: Json, next: string | undefined): Tree {
  if (Object.hasOwn(tree, key) || next === undefined || !Object.hasOwn(tree, next)) return { ...tree, [key]: value };
  return Object.fromEntries(Object.entries(tree).flatMap((entry) => (entry[0] === next ? [[key, value], entry] : [entry])));
}

/** A document being edited: every edit is applied at once and noted. */
export class Edit {
  readonly changes: Change[] = [];

  constructor(public doc: Doc) {}

  /** Set what is at a place; objects on the way there are made. */
  set(path: readonly string[], value: unknown): void {
    const missing = path.findIndex((_, i) => i < path.length - 1 && this.at(path.slice(0, i + 1)) === undefined);
    if (missing < 0) this.note(path, value as Json);
    else
      this.note(
        path.slice(0, missing + 1),
        path.slice(missing + 1).reduceRight<Json>((inner, key) => ({ [key]: inner }), value as Json),
      );
  }

  remove(path: readonly string[]): void {
    if (this.at(path) !== undefined) this.note(path, undefined);
  }

  at(path: readonly string[]): Json | undefined {
    let value: Json | undefined = this.doc as unknown as Json;
    for (const key of path) value = typeof value === 'object' && value !== null ? get(value as Tree, key) : undefined;
    return value;
  }

  private note(path: readonly string[], after: Json | undefined): void {
    const before = this.at(path);
    if (before === after) return;
    const next = after === undefined ? this.keyBehind(path) : undefined;
    const change: Change = { path, before, after, ...(next === undefined ? {} : { next }) };
    this.changes.push(change);
    this.doc = applyChanges(this.doc, [change]);
  }

  private keyBehind(path: readonly string[]): string | undefined {
    const keys = Object.keys(this.at(path.slice(0, -1)) as Tree);
    return keys[keys.indexOf(path[path.length - 1]!) + 1];
  }
}
