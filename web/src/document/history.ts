/** The log of edits of one document, and where in it we are. */
import { applyChanges, type Change, Edit, inverseOf } from './change';
import type { Doc } from './model';

export const MOST_STEPS = 2000;
export const JOIN_MILLISECONDS = 1000;

export interface Step {
  readonly label: string;
  readonly changes: readonly Change[];
  /** steps with the same key that follow each other quickly are one: typing, dragging a number */
  readonly key: string;
  readonly time: number;
}

export interface History {
  readonly doc: Doc;
  readonly past: readonly Step[];
  readonly future: readonly Step[];
}

export function startHistory(doc: Doc): History {
  return { doc, past: [], future: [] };
}

/** One step of the user: what `edit` does to the document, or to a subgraph of it. Nothing is logged if nothing changed. */
export function perform(
  history: History,
  label: string,
  edit: (edit: Edit) => void,
  key = '',
  time = 0,
  level: string | null = null,
): History {
  const work = new Edit(history.doc, level);
  edit(work);
  if (work.changes.length === 0) return history;
  const last = history.past[history.past.length - 1];
  const joins = key !== '' && last?.key === key && time - last.time < JOIN_MILLISECONDS && history.future.length === 0;
  const step: Step = { label, key, time, changes: joins ? merged(last.changes, work.changes) : work.changes };
  const past = joins ? history.past.slice(0, -1) : history.past.slice(-MOST_STEPS + 1);
  return { doc: work.whole, past: [...past, step], future: [] };
}

/**
 * Two lists of changes as one. Two values of the same place become one, so that dragging a number stays small; what comes or goes
 * is kept step by step, as only then it comes back to its old place among the others.
 */
function merged(first: readonly Change[], second: readonly Change[]): Change[] {
  const [one, two] = [first[0], second[0]];
  const single = first.length === 1 && second.length === 1 && one !== undefined && two !== undefined;
  if (!single || !isSamePlace(one, two) || one.after === undefined || two.after === undefined) return [...first, ...second];
  return [{ ...one, after: two.after }];
}

function isSamePlace(one: Change, two: Change): boolean {
  return one.path.length === two.path.length && one.path.every((key, i) => key === two.path[i]);
}

export function undo(history: History): History {
  const step = history.past[history.past.length - 1];
  if (step === undefined) return history;
  return {
    doc: applyChanges(history.doc, inverseOf(step.changes)),
    past: history.past.slice(0, -1),
    future: [step, ...history.future],
  };
}

export function redo(history: History): History {
  const [step, ...future] = history.future;
  if (step === undefined) return history;
  return { doc: applyChanges(history.doc, step.changes), past: [...history.past, step], future };
}
