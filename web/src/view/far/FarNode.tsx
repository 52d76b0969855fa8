/** A node from afar: a place to press, and the picture that it shows. Its box and its name are drawn on the canvas behind it. */
import type { ReactElement } from 'react';
import type { NodeData } from '../../state/flow';
import type { NodeRun } from '../../state/runs';
import { Shown } from '../Shown';

interface Props {
  readonly className: string;
  readonly data: NodeData;
  readonly run: NodeRun | undefined;
}

export function FarNode({ className, data, run }: Props): ReactElement {
  const pictured = isPictured(run) && data.geometry.rows.some((row) => row.kind === 'shown');
  const state = [data.spec === undefined && 'missing', data.entry.mode !== 'active' && data.entry.mode, run?.status];
  const label = state.filter(Boolean).join(', ');
  return (
    <div className={`${className} far grip`} style={{ height: data.geometry.height }}>
      {label !== '' && <span role="img" aria-label={label} />}
      {pictured && (
        <div className="shown far-picture">
          <Shown run={run} />
        </div>
      )}
    </div>
  );
}

/** Whether there is a picture to show, finished or forming. */
export function isPictured(run: NodeRun | undefined): boolean {
  return run?.preview !== undefined || run?.shown?.some((item) => item.kind === 'image') === true;
}
