/** The pictures of a batch, in a grid with the values beside it. */
import { CircleAlert, FolderOpen, ImageDown, Play, SlidersHorizontal, Square } from 'lucide-react';
import { type CSSProperties, type ReactElement, useEffect, useState } from 'react';
import type { Json } from '../../document/json';
import { smallAddress } from '../../network/pictures';
import { openRun } from '../../state/actions';
import {
  type Batch,
  type BatchAxis,
  type BatchCell,
  cancelBatch,
  isCellOver,
  resumeBatch,
  takeValues,
  useBatches,
} from '../../state/batches';
import { saveGrid } from '../../state/batchPicture';
import { type Dialog, show } from '../../state/editor';
import { Act, type Action, Studio } from './Studio';

const SIZES = [96, 144, 208, 288, 400, 560] as const;

export function BatchGrid({ dialog }: { readonly dialog: Extract<Dialog, { kind: 'batch' }> }): ReactElement | null {
  const batch = useBatches(({ batches }) => batches.find((one) => one.id === dialog.id));
  const [zoom, setZoom] = useState(2);
  useEffect(() => void resumeBatch(dialog.id, true), [dialog.id]);
  if (batch === undefined) return null;
  const over = batch.cells.filter(isCellOver).length;
  const failed = batch.cells.filter((cell) => cell.status === 'failed').length;
  const cancelled = batch.cells.filter((cell) => cell.status === 'cancelled').length;
  const size = (by: number): void => setZoom((now) => Math.max(0, Math.min(SIZES.length - 1, now + by)));
  const again: Action = { label: 'Another batch', keys: ['N'], icon: <Play size={13} />, run: () => show({ kind: 'vary' }) };
  const stop: Action = {
    label: 'Cancel the rest',
    keys: ['Mod+.'],
    icon: <Square size={13} />,
    disabled: over === batch.cells.length,
    run: () => void cancelBatch(batch.id),
  };
  const save: Action = {
    label: 'Save the grid as a picture',
    keys: ['Mod+S'],
    icon: <ImageDown size={13} />,
    disabled: batch.cells.every((cell) => cell.pictures.length === 0),
    run: () => void saveGrid(batch),
  };
  const zooms: readonly Action[] = [
    { label: 'Larger', keys: ['+', '='], run: () => size(1) },
    { label: 'Smaller', keys: ['-'], run: () => size(-1) },
  ];
  return (
    <Studio
      title={`Batch of ${batch.title}`}
      note={`${over} of ${batch.cells.length}${failed > 0 ? `, ${failed} failed` : ''}${cancelled > 0 ? `, ${cancelled} cancelled` : ''}`}
      actions={[again, stop, save, ...zooms]}
      onClose={() => show(null)}
      bar={
        <>
          <progress className="batch-progress" aria-label="Runs that ended" max={batch.cells.length} value={over} />
          <span className="studio-space" />
          <label className="slide short">
            <span>Size</span>
            <input
              type="range"
              min={0}
              max={SIZES.length - 1}
              step={1}
              value={zoom}
              onChange={(event) => setZoom(Number(event.target.value))}
            />
          </label>
          <Act action={save} text="Save as picture" />
          <Act action={stop} text="Cancel the rest" />
          <Act action={again} text="Another batch" />
        </>
      }
    >
      <div className="batch-room" style={{ '--cell': `${SIZES[zoom]}px` } as CSSProperties}>
        {sheetsOf(batch).map(({ title, cells }) => (
          <section key={title}>
            {title !== '' && <h3>{title}</h3>}
            <Sheet batch={batch} cells={cells} />
          </section>
        ))}
      </div>
    </Studio>
  );
}

function sheetsOf(batch: Batch): { title: string; cells: readonly BatchCell[] }[] {
  const axis = batch.axes[2];
  if (axis === undefined) return [{ title: '', cells: batch.cells }];
  return axis.values.map((value, i) => ({
    title: `${axis.title}: ${String(value)}`,
    cells: batch.cells.filter((cell) => cell.place[2] === i),
  }));
}

/** One axis alone is wrapped like a gallery; two are columns and rows. */
function Sheet({ batch, cells }: { readonly batch: Batch; readonly cells: readonly BatchCell[] }): ReactElement {
  const [columns, rows] = batch.axes as readonly [BatchAxis, BatchAxis | undefined];
  if (rows === undefined) {
    return (
      <div className="batch-wrap">
        {cells.map((cell) => (
          <figure key={cell.run}>
            <CellView batch={batch} cell={cell} />
            <figcaption title={`${columns.title}: ${text(cell.values[0])}`}>
              {columns.input.replaceAll('_', ' ')} <b>{text(cell.values[0])}</b>
            </figcaption>
          </figure>
        ))}
      </div>
    );
  }
  return (
    <table className="batch-table">
      <thead>
        <tr>
          <th className="corner" title={`${rows.title} ↓\n${columns.title} →`}>
            {rows.input.replaceAll('_', ' ')} ↓ {columns.input.replaceAll('_', ' ')} →
          </th>
          {columns.values.map((value) => (
            <th key={text(value)} scope="col" title={text(value)}>
              {text(value)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.values.map((value, y) => (
          <tr key={text(value)}>
            <th scope="row" title={text(value)}>
              {text(value)}
            </th>
            {columns.values.map((_, x) => {
              const cell = cells.find((one) => one.place[0] === x && one.place[1] === y)!;
              return (
                <td key={cell.run}>
                  <CellView batch={batch} cell={cell} />
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function text(value: Json | undefined): string {
  return value === undefined ? '' : String(value);
}

function CellView({ batch, cell }: { readonly batch: Batch; readonly cell: BatchCell }): ReactElement {
  const name = batch.axes.map((axis, i) => `${axis.input} ${text(cell.values[i])}`).join(', ');
  const picture = cell.pictures[0];
  const view = (): void => {
    const pictures = batch.cells.flatMap((one) => one.pictures);
    show({ kind: 'viewer', pictures, at: Math.max(0, pictures.indexOf(picture!)), back: { kind: 'batch', id: batch.id } });
  };
  return (
    <div className={`batch-cell ${cell.status}`}>
      {picture !== undefined ? (
        <button type="button" className="batch-picture" aria-label={`Show ${name} large`} onClick={view}>
          <img src={smallAddress(picture.url, 560)} alt={name} loading="lazy" draggable={false} />
          {cell.pictures.length > 1 && <span className="batch-several">{cell.pictures.length}</span>}
        </button>
      ) : (
        <span className="batch-state" role="status" title={cell.error}>
          {cell.live !== undefined && <img src={cell.live} alt="Work in progress" />}
          {cell.status === 'failed' ? <CircleAlert size={16} /> : null}
          <small>{cell.error ?? STATES[cell.status]}</small>
        </span>
      )}
      <span className="batch-tools">
        <button
          type="button"
          className="mini"
          title="Take these values"
          aria-label={`Take ${name}`}
          onClick={() => takeValues(batch, cell)}
        >
          <SlidersHorizontal size={13} />
        </button>
        {cell.status !== 'sending' && (
          <button
            type="button"
            className="mini"
            title="Open the workflow of this one"
            aria-label={`Open the workflow of ${name}`}
            onClick={() => void openRun(cell.run).then(() => show(null))}
          >
            <FolderOpen size={13} />
          </button>
        )}
      </span>
    </div>
  );
}

const STATES: Readonly<Record<BatchCell['status'], string>> = {
  sending: '',
  pending: 'waiting',
  running: 'running…',
  done: 'no picture',
  failed: 'failed',
  cancelled: 'cancelled',
};
