/** Beside Run: running by itself, and batches. */
import { Grid3x3, RefreshCw } from 'lucide-react';
import type { ReactElement } from 'react';
import { toggleAutorun, useAutorun } from '../state/autorun';
import { isCellOver, useBatches } from '../state/batches';
import { show } from '../state/editor';
import './runmodes.css';

export function RunModes(): ReactElement {
  const on = useAutorun((state) => state.on);
  return (
    <>
      <BatchButton />
      <button
        type="button"
        className={on ? 'tool on' : 'tool'}
        aria-pressed={on}
        aria-label="Run on each change"
        title={on ? 'Runs by itself after each change: click to stop that' : 'Run by itself after each change'}
        onClick={toggleAutorun}
      >
        <RefreshCw size={15} />
      </button>
    </>
  );
}

/** The newest batch while there is one, else the way to a first. */
function BatchButton(): ReactElement {
  const batch = useBatches(({ batches }) => batches[0]);
  const over = batch?.cells.filter(isCellOver).length ?? 0;
  const label = batch === undefined ? 'Run a batch' : `The batch: ${over} of ${batch.cells.length} done`;
  return (
    <button
      type="button"
      className="tool batch-button"
      aria-label={label}
      title={label}
      onClick={() => show(batch === undefined ? { kind: 'vary' } : { kind: 'batch', id: batch.id })}
    >
      <Grid3x3 size={15} />
      {batch !== undefined && over < batch.cells.length && (
        <small>
          {over}/{batch.cells.length}
        </small>
      )}
    </button>
  );
}
