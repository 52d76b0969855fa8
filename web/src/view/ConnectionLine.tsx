/** The link that is being pulled; over an end that does not take it, it says why. */
import { type ConnectionLineComponentProps, getBezierPath } from '@xyflow/react';
import type { ReactElement } from 'react';
import { inferenceOf } from '../document/inference';
import { currentCatalog, currentDoc, useEditor } from '../state/editor';
import type { FlowGroup, FlowNode } from '../state/flow';
import './connection.css';

export function ConnectionLine(props: ConnectionLineComponentProps<FlowNode | FlowGroup>): ReactElement {
  const { fromX, fromY, toX, toY, fromPosition, toPosition, toHandle, fromHandle, connectionStatus } = props;
  const loose = useEditor((state) => state.loose);
  const color = loose === null ? 'var(--accent)' : currentCatalog().color(loose.type);
  const [path] = getBezierPath({
    sourceX: fromX,
    sourceY: fromY,
    sourcePosition: fromPosition,
    targetX: toX,
    targetY: toY,
    targetPosition: toPosition,
  });
  const reason =
    connectionStatus === 'invalid' && toHandle && toHandle.nodeId !== fromHandle.nodeId ? reasonOf(fromHandle, toHandle) : null;
  return (
    <g>
      <path d={path} className="pulled" style={{ stroke: reason === null ? color : 'var(--wrong)' }} />
      {reason !== null && (
        <text className="refusal" x={toX + 14} y={toY - 12}>
          {reason}
        </text>
      )}
    </g>
  );
}

interface End {
  readonly nodeId: string;
  readonly id?: string | null;
  readonly type: 'source' | 'target';
}

function reasonOf(one: End, two: End): string | null {
  if (one.type === two.type) return `both are ${one.type === 'source' ? 'outputs' : 'inputs'}`;
  const [from, to] = one.type === 'source' ? [one, two] : [two, one];
  const verdict = inferenceOf(currentDoc(), currentCatalog()).canConnect(
    { node: from.nodeId, output: from.id ?? '' },
    to.nodeId,
    to.id ?? '',
  );
  return verdict.ok ? null : verdict.reason;
}
