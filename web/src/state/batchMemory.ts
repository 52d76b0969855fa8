/** Batches survive a closed window: what they vary and how their runs ended is kept in this browser, the rest is on the server. */
import { cellsOf } from '../document/batch';
import { isObject, type Json, parseJson, writeJson } from '../document/json';
import { type Batch, type BatchAxis, type BatchCell, resumeBatch, runOfCell, useBatches } from './batches';

const KEY = 'batches';
const STATES: readonly BatchCell['status'][] = ['sending', 'pending', 'running', 'done', 'failed', 'cancelled'];

/** Takes over what was kept, goes on following what still runs, and keeps what changes from now on. */
export function startBatches(): void {
  const batches = kept();
  useBatches.setState({ batches });
  const [newest] = batches;
  if (newest !== undefined) void resumeBatch(newest.id, false);
  useBatches.subscribe((now, before) => {
    if (now.batches.map(stateOf).join() === before.batches.map(stateOf).join()) return;
    try {
      localStorage.setItem(
        KEY,
        writeJson(
          now.batches.map(({ id, title, level, axes, cells }) => ({ id, title, level, axes, states: cells.map((cell) => cell.status) })),
        ),
      );
    } catch {
      // a browser that keeps nothing still shows them until it is closed
    }
  });
}

function stateOf(batch: Batch): string {
  return `${batch.id}:${batch.cells.map((cell) => cell.status[0]).join('')}`;
}

function kept(): Batch[] {
  try {
    const found = parseJson(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(found) ? found.flatMap((one) => revived(one) ?? []) : [];
  } catch {
    return [];
  }
}

/** null for what is no batch: anybody may have written there. */
function revived(data: Json): Batch | null {
  if (!isObject(data) || !Array.isArray(data['axes']) || !Array.isArray(data['states'])) return null;
  const { id, title, level, axes, states } = data;
  if (typeof id !== 'string' || typeof title !== 'string' || !(axes as Json[]).every(isAxis)) return null;
  const cells = cellsOf(axes as unknown as BatchAxis[]).map((cell, i): BatchCell => {
    const status = STATES.find((one) => one === (states as Json[])[i]) ?? 'cancelled';
    return { ...cell, run: runOfCell(id, i), status: status === 'sending' ? 'cancelled' : status, pictures: [] };
  });
  return cells.length === 0
    ? null
    : {
        id,
        title,
        level: typeof level === 'string' ? level : null,
        axes: axes as unknown as BatchAxis[],
        cells,
        stopped: true,
        followed: false,
      };
}

function isAxis(data: Json): boolean {
  return isObject(data) && ['node', 'input', 'title'].every((key) => typeof data[key] === 'string') && Array.isArray(data['values']);
}
