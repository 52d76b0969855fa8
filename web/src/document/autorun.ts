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

/** Titles and places change nothing. */
function runsSame(one: Doc, other: Doc): boolean {
  if (one.subgraphs !== other.subgraphs) return false;
  if (one.nodes === other.nodes) return true;
  const ids = Object.keys(one.nodes);
  if (ids.length !== Object.keys(other.nodes).length) return false;
  return ids.every((id) => {
    const [a, b] = [one.nodes[id]!, other.nodes[id]];
    if (a === b) return true;
    return b !== undefined && a.type === b.type && (a.mode ?? 'active') === (b.mode ?? 'active') && same(a.inputs, b.inputs);
  });
}
