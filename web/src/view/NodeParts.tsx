/** Small parts of a node: the mark of how its last run went, the button for its help, the fold of its spare inputs. */
import { ChevronDown, ChevronRight, CircleHelp, CircleSlash, Clock3, EyeOff, TriangleAlert, Zap } from 'lucide-react';
import type { CSSProperties, ReactElement } from 'react';
import { toggleMore } from '../document/edits/nodes';
import type { Row } from '../document/geometry';
import { perform } from '../state/editor';
import type { NodeData } from '../state/flow';
import { showInfo } from '../state/info';
import type { NodeRun } from '../state/runs';

interface MarkProps {
  readonly data: NodeData;
  readonly run: NodeRun | undefined;
}

export function Mark({ data, run }: MarkProps): ReactElement {
  const { mode } = data.entry;
  return (
    <span className="badges">
      {data.spec === undefined && <span className="badge">missing</span>}
      {mode === 'muted' && <EyeOff size={13} role="img" aria-label="muted" data-tip="Muted: it is left out" />}
      {mode === 'bypassed' && <CircleSlash size={13} role="img" aria-label="bypassed" data-tip="Bypassed: what comes in goes on" />}
      {run !== undefined && <RunMark run={run} />}
    </span>
  );
}

function RunMark({ run }: { readonly run: NodeRun }): ReactElement | null {
  switch (run.status) {
    case 'queued':
      return <Clock3 size={12} role="img" aria-label="will be run" data-tip="Will be run" />;
    case 'running':
      return <span className="time">{run.total ? `${run.value}/${run.total}` : run.text || '…'}</span>;
    case 'cached':
      return <Zap size={12} className="cached" role="img" aria-label="result of an earlier run" data-tip="Not run: its result was known" />;
    case 'failed':
      return <TriangleAlert size={13} className="failed" role="img" aria-label="failed" data-tip={run.error?.message ?? 'Failed'} />;
    case 'blocked':
      return <CircleSlash size={12} role="img" aria-label="left out" data-tip={run.text ?? 'Left out'} />;
    case 'done':
      return run.seconds === undefined ? null : (
        <span
          className="time"
          data-tip={`Ran for ${seconds(run.seconds) || 'no time'}${run.nbytes ? `, its results take ${bytes(run.nbytes)}` : ''}`}
        >
          {seconds(run.seconds)}
        </span>
      );
  }
}

export function seconds(value: number): string {
  if (value < 0.01) return '';
  return value < 1 ? `${Math.round(value * 1000)} ms` : value < 100 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(value: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10));
  const scaled = value / 1024 ** power;
  return `${scaled < 10 && power > 0 ? scaled.toFixed(1) : Math.round(scaled)} ${UNITS[power]}`;
}

export function HelpButton(): ReactElement {
  return (
    <button
      type="button"
      className="mini nodrag"
      aria-label="Help on this node"
      title="Help and last run (F1)"
      onClick={() => showInfo(true)}
    >
      <CircleHelp size={13} />
    </button>
  );
}

interface MoreProps {
  readonly id: string;
  readonly row: Extract<Row, { kind: 'more' }>;
  readonly style: CSSProperties;
}

export function More({ id, row, style }: MoreProps): ReactElement {
  const label = row.open ? 'Fewer inputs' : `${row.count} more inputs`;
  return (
    <div className="row" style={style}>
      <button
        type="button"
        className="spare nodrag"
        aria-expanded={row.open}
        title={row.open ? 'Hide inputs that are not set' : 'Optional inputs that are not set'}
        onClick={() => perform(label, (edit) => toggleMore(edit, id))}
      >
        {row.open ? <ChevronDown size={12} /> : <ChevronRight size={12} />} {label}
      </button>
    </div>
  );
}
