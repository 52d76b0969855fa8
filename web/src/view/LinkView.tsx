/** A link in the colour of what flows along it; a ring in its middle says that the value is converted on the way. */
import { BaseEdge, type EdgeProps, getBezierPath, useStore } from '@xyflow/react';
import { memo, type ReactElement } from 'react';
import type { Point } from '../document/model';
import { DETAIL_ZOOM, type FlowEdge } from '../state/flow';

export const LinkView = memo(function LinkView(props: EdgeProps<FlowEdge>): ReactElement {
  const { data, selected } = props;
  const far = useStore((state) => state.transform[2] < DETAIL_ZOOM);
  const [path, x, y] = data?.via?.length ? pathVia(props, data.via) : getBezierPath(props);
  const color = data?.wrong ? 'var(--wrong)' : (data?.color ?? '#9aa0a6');
  return (
    <>
      <BaseEdge
        id={props.id}
        path={path}
        interactionWidth={far ? 0 : 14}
        style={{ stroke: color, strokeWidth: far ? 1 : selected ? 3.5 : 2, vectorEffect: far ? 'non-scaling-stroke' : 'none' }}
      />
      {!far && data?.cast && <circle className="cast" cx={x} cy={y} r={4} style={{ stroke: color }} />}
    </>
  );
});

/** Through given points, each passed level. */
function pathVia(props: EdgeProps<FlowEdge>, via: readonly Point[]): [string, number, number] {
  const stops: Point[] = [[props.sourceX, props.sourceY], ...via, [props.targetX, props.targetY]];
  const parts = stops.slice(1).map(([x, y], i) => {
    const [fromX, fromY] = stops[i]!;
    const bend = Math.max(24, Math.abs(x - fromX) / 2);
    return `C ${fromX + bend},${fromY} ${x - bend},${y} ${x},${y}`;
  });
  const middle = via[Math.floor(via.length / 2)]!;
  return [`M ${props.sourceX},${props.sourceY} ${parts.join(' ')}`, middle[0], middle[1]];
}
