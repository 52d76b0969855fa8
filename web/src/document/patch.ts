/** What changed from one document to another, told by places. Documents share all that they have in common, so it is found quickly. */
import { applyChanges } from './change';
import { isObject, type Json, parseJson, writeJson } from './json';
import type { Doc } from './model';

export interface Spot {
  readonly path: readonly string[];
  /** absent: there is nothing any more */
  readonly value?: Json;
}
export type Patch = readonly Spot[];

export function patchBetween(before: Doc, after: Doc): Patch {
  return [...spots(before as unknown as Json, after as unknown as Json, [])];
}

function* spots(before: Json, after: Json, path: readonly string[]): Generator<Spot> {
  if (before === after) return;
  if (!isObject(before) || !isObject(after)) {
    yield { path, value: after };
    return;
  }
  for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) yield { path: [...path, key] };
  for (const [key, value] of Object.entries(after)) {
    if (Object.hasOwn(before, key)) yield* spots(before[key]!, value, [...path, key]);
    else yield { path: [...path, key], value };
  }
}

export function patched(doc: Doc, patch: Patch): Doc {
  return applyChanges(
    doc,
    patch.map(({ path, value }) => ({ path, before: undefined, after: value })),
  );
}

export function writePatch(patch: Patch): string {
  return writeJson(patch);
}

/** Raises SyntaxError for what is none. */
export function readPatch(text: string): Patch {
  const found = parseJson(text);
  if (!Array.isArray(found) || !found.every((one) => isObject(one) && Array.isArray(one['path']))) throw new SyntaxError('no patch');
  return found as unknown as Patch;
}
