/** Batches of runs: queued one after the other like any runs, and gathered into a grid. */
import { create } from 'zustand';
import { type Axis, applyCell, cellsOf, documentOf } from '../document/batch';
import type { Json } from '../document/json';
import { type Doc, titleOf } from '../document/model';
import type { Picture } from '../document/picture';
import { ApiError, api } from '../network/api';
import { followRun } from '../network/follow';
import type { Run } from '../wire';
import { attempt, explain, refreshQueue } from './actions';
import { change, currentDoc, freshId, perform, show, tabOf, tell, useEditor } from './editor';
import { levelOf } from './levels';
import { picturesOfRun } from './pictures';

export interface BatchAxis extends Axis {
  readonly title: string;
}

export interface BatchCell {
  readonly run: string;
  readonly place: readonly number[];
  readonly values: readonly Json[];
  readonly status: 'sending' | 'pending' | 'running' | 'done' | 'failed' | 'cancelled';
  readonly pictures: readonly Picture[];
  /** work in progress */
  readonly live?: string;
  readonly error?: string;
}

export interface Batch {
  readonly id: string;
  readonly title: string;
  /** the subgraph whose nodes vary; null: those of the canvas */
  readonly level: string | null;
  readonly axes: readonly BatchAxis[];
  readonly cells: readonly BatchCell[];
  /** nothing more of it is sent */
  readonly stopped: boolean;
  /** somebody waits for its runs */
  readonly followed: boolean;
}

/** The newest first. */
export const useBatches = create<{ readonly batches: readonly Batch[] }>()(() => ({ batches: [] }));

const KEPT = 8;

export function isCellOver(cell: BatchCell): boolean {
  return cell.status === 'done' || cell.status === 'failed' || cell.status === 'cancelled';
}

export function batchOf(id: string): Batch | undefined {
  return useBatches.getState().batches.find((batch) => batch.id === id);
}

export function runOfCell(id: string, index: number): string {
  return `batch-${id}-${index + 1}`;
}

function changeBatch(id: string, how: (batch: Batch) => Partial<Batch>): void {
  useBatches.setState(({ batches }) => ({ batches: batches.map((one) => (one.id === id ? { ...one, ...how(one) } : one)) }));
}

function changeCell(id: string, run: string, part: Partial<BatchCell>): void {
  changeBatch(id, ({ cells }) => ({ cells: cells.map((cell) => (cell.run === run ? { ...cell, ...part } : cell)) }));
}

/** Queues every combination of values of the workflow in front, and opens the grid. */
export async function startBatch(axes: readonly BatchAxis[]): Promise<void> {
  const tab = tabOf(useEditor.getState());
  if (tab === undefined) return;
  const { doc } = tab.history;
  const id = freshId().slice(0, 12);
  const title = tab.name ?? titleOf(doc);
  const cells = cellsOf(axes).map((cell, i): BatchCell => ({ ...cell, run: runOfCell(id, i), status: 'sending', pictures: [] }));
  useBatches.setState(({ batches }) => ({
    batches: [{ id, title, level: levelOf(tab), axes, cells, stopped: false, followed: true }, ...batches].slice(0, KEPT),
  }));
  show({ kind: 'batch', id });
  const following = followInOrder(id);
  await submitAll(id, doc);
  await following;
  void refreshQueue();
}

async function submitAll(id: string, doc: Doc): Promise<void> {
  const { axes, cells, title, level } = batchOf(id)!;
  for (const [i, cell] of cells.entries()) {
    if (batchOf(id)?.stopped !== false) break;
    try {
      await api.submit(documentOf(doc, axes, cell, level), { id: cell.run, title: `${title}, ${i + 1} of ${cells.length}` });
      if (batchOf(id)?.cells[i]?.status === 'sending') changeCell(id, cell.run, { status: 'pending' });
    } catch (error) {
      const told = explain(error);
      change({ problems: told.errors ?? [told] });
      tell(`The batch was stopped: ${told.errors?.[0]?.message ?? told.message}`, 'error', told.hint);
      changeCell(id, cell.run, { status: 'failed', error: told.errors?.[0]?.message ?? told.message });
      await cancelBatch(id);
    }
  }
  for (const cell of batchOf(id)?.cells ?? []) if (cell.status === 'sending') changeCell(id, cell.run, { status: 'cancelled' });
}

export async function cancelBatch(id: string): Promise<void> {
  changeBatch(id, () => ({ stopped: true }));
  for (const cell of batchOf(id)?.cells ?? []) {
    if (cell.status === 'pending' || cell.status === 'running') await attempt(() => api.cancel(cell.run));
  }
  void refreshQueue();
}

/** Runs end in the order they were queued in, unless somebody orders them anew: so one at a time is followed. */
async function followInOrder(id: string): Promise<void> {
  for (const { run } of batchOf(id)?.cells ?? []) {
    if (await isSent(id, run)) await followCell(id, run);
  }
}

/** Waits until a run was sent; false if it never will be. */
function isSent(id: string, run: string): Promise<boolean> {
  const now = (): boolean | null => {
    const status = batchOf(id)?.cells.find((cell) => cell.run === run)?.status;
    return status === 'sending' ? null : status === 'pending' || status === 'running';
  };
  return new Promise((resolve) => {
    const end = useBatches.subscribe(() => look());
    const look = (): void => {
      const known = now();
      if (known === null) return;
      end();
      resolve(known);
    };
    look();
  });
}

/** Asks for what became of a batch of an earlier window. `pictures`: also of runs that ended long ago. */
export async function resumeBatch(id: string, pictures: boolean): Promise<void> {
  const batch = batchOf(id);
  if (batch === undefined) return;
  changeBatch(id, () => ({ followed: true }));
  for (const cell of batch.cells) {
    const isLeft = !batch.followed && !isCellOver(cell);
    const isUnseen = pictures && cell.status === 'done' && cell.pictures.length === 0;
    if (isLeft || isUnseen) await followCell(id, cell.run);
  }
}

async function followCell(id: string, run: string): Promise<void> {
  const known = await askFor(run);
  const isOver = known === null || ['done', 'failed', 'cancelled'].includes(known.status);
  if (!isOver) await watch(id, run);
  const last = isOver ? known : await askFor(run);
  changeCell(id, run, last === null ? { status: 'cancelled' } : ended(last, id));
}

const AGAIN_MILLISECONDS = 2000;

/** null if it is not known any more; a server that does not answer is asked again. */
async function askFor(run: string): Promise<Run | null> {
  for (;;) {
    try {
      return await api.run(run);
    } catch (error) {
      if (error instanceof ApiError) return null;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MILLISECONDS));
    }
  }
}

/** Shows the work in progress until the run is over. */
async function watch(id: string, run: string): Promise<void> {
  let live: string | undefined;
  await new Promise<void>((resolve) => {
    const stop = followRun(run, {
      onEvent: (event) => {
        if (event.event === 'job_started') changeCell(id, run, { status: 'running' });
        if (event.event === 'job_ended') resolve();
      },
      onPicture: ({ jpeg }) => {
        if (live !== undefined) URL.revokeObjectURL(live);
        live = URL.createObjectURL(jpeg);
        changeCell(id, run, { live });
      },
      onGone: () => {
        stop();
        resolve();
      },
    });
  });
  if (live !== undefined) URL.revokeObjectURL(live);
}

function ended(run: Run, id: string): Partial<BatchCell> {
  const cell = batchOf(id)?.cells.find((one) => one.run === run.id);
  const label = labelOf(batchOf(id)?.axes ?? [], cell?.values ?? []);
  const status = run.status === 'done' || run.status === 'failed' ? run.status : 'cancelled';
  const pictures = picturesOfRun(run).map((picture) => ({ ...picture, label }));
  return { status, pictures, ...(run.error === null ? {} : { error: run.error.errors?.[0]?.message ?? run.error.message }) };
}

/** `steps 10, cfg 2` */
export function labelOf(axes: readonly BatchAxis[], values: readonly Json[]): string {
  return axes.map((axis, i) => `${axis.input.replaceAll('_', ' ')} ${String(values[i] ?? '')}`).join(', ');
}

/** The values of a cell, in the workflow in front. */
export function takeValues(batch: Batch, cell: BatchCell): void {
  const tab = tabOf(useEditor.getState());
  if (tab === undefined || levelOf(tab) !== batch.level || batch.axes.some((axis) => !Object.hasOwn(currentDoc().nodes, axis.node))) {
    tell('The workflow in front is another one, or lost a node of this batch', 'error', 'Open the workflow of the picture instead.');
    return;
  }
  perform('Take values of the batch', (edit) => applyCell(edit, batch.axes, cell));
  tell(`Set ${labelOf(batch.axes, cell.values)}`);
}
