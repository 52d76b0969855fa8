/** When a workflow that runs by itself is to run again. */
import type { History } from './history';
import { same } from './json';
import type { Doc } from './model';

/** The key of the step by which a run changes seeds: what it does is no reason for the next run. */
export const AFTER_RUN = 'after-run';

/** Whether the user did something between two states that changes what a run does. */
export function asksForRun(before: History, after: History): boolean {
  if (before.doc === after.doc || runsSame(before.doc, after.doc)) return false;
  const step = after.past[after.past.length - 1];
  const isNew = after.past.length >= before.past.length && step !== before.past[before.past.length - 1];
  return !(isNew && step?.key === AFTER_RUN);
}

/** Titles and places change nothing, on the canvas and in subgraphs. */
function runsSame(one: Doc, other: Doc): boolean {
  if (!nodesRunSame(one.nodes, other.nodes)) return false;
  if (one.subgraphs === other.subgraphs) return true;
  return pairwise(
    one.subgraphs,
    other.subgraphs,
    (a, b) => same([a.inputs, a.outputs], [b.inputs, b.outputs]) && nodesRunSame(a.nodes, b.nodes),
  );
}

function nodesRunSame(one: Doc['nodes'], other: Doc['nodes']): boolean {
  return pairwise(one, other, (a, b) => a.type === b.type && (a.mode ?? 'active') === (b.mode ?? 'active') && same(a.inputs, b.inputs));
}

function pairwise<T>(one: Readonly<Record<string, T>>, other: Readonly<Record<string, T>>, isSame: (a: T, b: T) => boolean): boolean {
  if (one === other) return true;
  const keys = Object.keys(one);
  if (keys.length !== Object.keys(other).length) return false;
  return keys.every((key) => Object.hasOwn(other, key) && (one[key] === other[key] || isSame(one[key]!, other[key]!)));
}
