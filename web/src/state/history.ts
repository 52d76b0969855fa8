/** Runs that have ended, page by page, and what can be done with them. */
import { api } from '../network/api';
import type { Run } from '../wire';
import { attempt, refreshQueue } from './actions';

export const PAGE = 40;
const LONGEST_SEARCH = 200;
export type Ended = 'done' | 'failed' | 'cancelled';
export const ENDED: readonly Ended[] = ['done', 'failed', 'cancelled'];

export interface Page {
  readonly runs: readonly Run[];
  readonly total: number;
}

export async function pageOf(status: Ended | null, search: string, offset: number): Promise<Page> {
  const { runs, total } = await api.runs(PAGE, offset, status ?? ENDED.join(','), search.slice(0, LONGEST_SEARCH));
  return { runs, total };
}

/** The newest page in front of what is known already. What is gone from the server's newest page is gone from here. */
export function withNewest(known: readonly Run[], newest: readonly Run[]): Run[] {
  const last = newest[newest.length - 1];
  const fresh = new Set(newest.map((run) => run.id));
  const older = last === undefined ? [] : known.filter((run) => !fresh.has(run.id) && run.created <= last.created);
  return [...newest, ...(newest.length < PAGE ? [] : older)];
}

/** The next page behind what is known; the list may have moved meanwhile. */
export function withOlder(known: readonly Run[], older: readonly Run[]): Run[] {
  const there = new Set(known.map((run) => run.id));
  return [...known, ...older.filter((run) => !there.has(run.id))];
}

/** The number that puts a waiting run in front of the one at `index` among the others. */
export function numberAt(others: readonly Run[], index: number): number {
  const [before, behind] = [others[index - 1], others[index]];
  if (before === undefined) return behind === undefined ? 0 : behind.number - 1;
  return behind === undefined ? before.number + 1 : (before.number + behind.number) / 2;
}

export async function moveRun(waiting: readonly Run[], id: string, index: number): Promise<void> {
  const others = waiting.filter((run) => run.id !== id);
  await attempt(() => api.moveTo(id, numberAt(others, Math.max(0, Math.min(others.length, index)))));
  await refreshQueue();
}

/** Returns whether it was done. */
export async function doWith(work: () => Promise<unknown>): Promise<boolean> {
  const done = await attempt(async () => {
    await work();
    return true;
  });
  await refreshQueue();
  return done === true;
}
