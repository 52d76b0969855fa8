/** A link in the colour of what flows along it; a ring in its middle says that the value is converted on the way. */
import { BaseEdge, type EdgeProps, getBezierPath, useStore } from '@xyflow/react';
import { memo, type ReactElement, useState } from 'react';
import { shifted } from '../document/edits/reroutes';
import { get } from '../document/json';
import { type Point, positionOf } from '../document/model';
import { docOf, type EditorState, useEditor } from '../state/editor';
import { DETAIL_ZOOM, type FlowEdge } from '../state/flow';
import { Reroutes } from './Reroutes';

export const LinkView = memo(function LinkView(props: EdgeProps<FlowEdge>): ReactElement {
  const { data, selected } = props;
  const far = useStore((state) => state.transform[2] < DETAIL_ZOOM);
  const via = data?.via;
  const color = data?.wrong ? 'var(--wrong)' : (data?.color ?? '#9aa0a6');
  return via?.length ? (
    <LedLink {...props} via={via} color={color} far={far} />
  ) : (
    <Line {...props} drawn={getBezierPath(props)} color={color} far={far} selected={selected === true} />
  );
});

interface LineProps extends Omit<EdgeProps<FlowEdge>, 'selected'> {
  readonly drawn: readonly [path: string, x: number, y: number, ...rest: number[]];
  readonly color: string;
  readonly far: boolean;
  readonly selected: boolean;
}

function Line({ id, data, drawn: [path, x, y], color, far, selected }: LineProps): ReactElement {
  return (
    <>
      <BaseEdge
        id={id}
        path={path}
        interactionWidth={far ? 0 : 14}
        style={{ stroke: color, strokeWidth: far ? 1 : selected ? 3.5 : 2, vectorEffect: far ? 'non-scaling-stroke' : 'none' }}
      />
      {!far && data?.cast && <circle className="cast" cx={x} cy={y} r={5} style={{ stroke: color }} data-tip={data.cast} />}
    </>
  );
}

type LedProps = EdgeProps<FlowEdge> & { readonly via: readonly Point[]; readonly color: string; readonly far: boolean };

/** A link with points of its own. While both its ends are dragged they go along. */
function LedLink({ via, ...props }: LedProps): ReactElement {
  const [dragged, setDragged] = useState<readonly Point[] | null>(null);
  const dx = useEditor((state) => together(state, props, 0));
  const dy = useEditor((state) => together(state, props, 1));
  const points = dragged ?? (dx || dy ? via.map(shifted([dx, dy])) : via);
  return (
    <>
      <Line {...props} drawn={pathVia(props, points)} selected={props.selected === true} />
      {!props.far && <Reroutes link={props.id} via={points} color={props.color} onMove={setDragged} />}
    </>
  );
}

function together(state: EditorState, { source, target }: EdgeProps<FlowEdge>, axis: 0 | 1): number {
  const [from, to] = [get(state.moving, source), get(state.moving, target)];
  return from === undefined || to === undefined ? 0 : to[axis] - positionOf(docOf(state), target)[axis];
}

/** Through given points, each passed level. */
function pathVia(props: EdgeProps<FlowEdge>, via: readonly Point[]): [string, number, number] {
  const stops: Point[] = [[props.sourceX, props.sourceY], ...via, [props.targetX, props.targetY]];
  const parts = stops.slice(1).map(([x, y], i) => {
    const [fromX, fromY] = stops[i]!;
    const bend = Math.max(24, Math.abs(x - fromX) / 2);
    return `C ${fromX + bend},${fromY} ${x - bend},${y} ${x},${y}`;
  });
  const [[ax, ay], [bx, by]] = [stops[0]!, stops[1]!];
  return [`M ${props.sourceX},${props.sourceY} ${parts.join(' ')}`, (ax + bx) / 2, (ay + by) / 2];
}
