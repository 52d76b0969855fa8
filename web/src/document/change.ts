/** Edits as data: each change says what was and what is at one place of the document, so that its inverse needs no thought. */
import { get, type Json } from './json';
import { type Doc, viewOf } from './model';

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

/** What an edit has come to, shared by all levels it works on. */
interface Work {
  whole: Doc;
  readonly changes: Change[];
}

/**
 * A document being edited: every edit is applied at once and noted. Inside a subgraph `nodes`, `layout` and `groups` are those of
 * its definition, so that every edit works there as it does on the canvas.
 */
export class Edit {
  private readonly work: Work;

  constructor(
    whole: Doc,
    readonly level: string | null = null,
    work?: Work,
  ) {
    this.work = work ?? { whole, changes: [] };
  }

  /** The level as it is now. */
  get doc(): Doc {
    return viewOf(this.work.whole, this.level);
  }

  get whole(): Doc {
    return this.work.whole;
  }

  get changes(): readonly Change[] {
    return this.work.changes;
  }

  /** The same edit on another level: a definition, or the canvas. */
  within(level: string | null): Edit {
    return new Edit(this.work.whole, level, this.work);
  }

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
    return valueAt(this.work.whole, this.placed(path));
  }

  private placed(path: readonly string[]): readonly string[] {
    return this.level !== null && OF_A_LEVEL.has(path[0] ?? '') ? ['subgraphs', this.level, ...path] : path;
  }

  private note(at: readonly string[], after: Json | undefined): void {
    const path = this.placed(at);
    const before = valueAt(this.work.whole, path);
    if (before === after) return;
    const next = after === undefined ? keyBehind(this.work.whole, path) : undefined;
    const change: Change = { path, before, after, ...(next === undefined ? {} : { next }) };
    this.work.changes.push(change);
    this.work.whole = applyChanges(this.work.whole, [change]);
  }
}

const OF_A_LEVEL: ReadonlySet<string> = new Set(['nodes', 'layout', 'groups']);

function valueAt(doc: Doc, path: readonly string[]): Json | undefined {
  let value: Json | undefined = doc as unknown as Json;
  for (const key of path) value = typeof value === 'object' && value !== null ? get(value as Tree, key) : undefined;
  return value;
}

function keyBehind(doc: Doc, path: readonly string[]): string | undefined {
  const keys = Object.keys(valueAt(doc, path.slice(0, -1)) as Tree);
  return keys[keys.indexOf(path[path.length - 1]!) + 1];
}
