/** A link in the colour of what flows along it; a ring in its middle says that the value is converted on the way. */
import { BaseEdge, type EdgeProps } from '@xyflow/react';
import { memo, type ReactElement, useContext, useState } from 'react';
import { type Curve, curveThrough, middleOf, pathOf } from '../document/curves';
import { shifted } from '../document/edits/reroutes';
import { get } from '../document/json';
import { type Point, positionOf } from '../document/model';
import { docOf, type EditorState, useEditor } from '../state/editor';
import type { FlowEdge } from '../state/flow';
import { Far } from './far/far';
import { Reroutes } from './Reroutes';

const REACH = 14;
/** from afar */
const WIDE_REACH = 40;

export const LinkView = memo(function LinkView(props: EdgeProps<FlowEdge>): ReactElement {
  const { data } = props;
  const via = data?.via;
  const color = data?.wrong ? 'var(--wrong)' : (data?.color ?? '#9aa0a6');
  return via?.length ? <LedLink {...props} via={via} color={color} /> : <Line {...props} curve={curveOf(props)} color={color} />;
});

function curveOf({ sourceX, sourceY, targetX, targetY }: EdgeProps<FlowEdge>, via: readonly Point[] = []): Curve {
  return curveThrough([sourceX, sourceY], [targetX, targetY], via);
}

interface LineProps extends EdgeProps<FlowEdge> {
  readonly curve: Curve;
  readonly color: string;
}

/** From afar it is drawn with all others on one canvas; here it is there to be pressed. */
function Line({ id, data, curve, color, selected }: LineProps): ReactElement {
  const far = useContext(Far);
  const [x, y] = middleOf(curve);
  return (
    <>
      <BaseEdge
        id={id}
        path={pathOf(curve)}
        interactionWidth={far ? WIDE_REACH : REACH}
        style={far ? { stroke: 'none' } : { stroke: color, strokeWidth: selected ? 3.5 : 2 }}
      />
      {!far && data?.cast && <circle className="cast" cx={x} cy={y} r={5} style={{ stroke: color }} data-tip={data.cast} />}
    </>
  );
}

type LedProps = EdgeProps<FlowEdge> & { readonly via: readonly Point[]; readonly color: string };

/** A link with points of its own. While both its ends are dragged they go along. */
function LedLink({ via, ...props }: LedProps): ReactElement {
  const far = useContext(Far);
  const [dragged, setDragged] = useState<readonly Point[] | null>(null);
  const dx = useEditor((state) => together(state, props, 0));
  const dy = useEditor((state) => together(state, props, 1));
  const points = dragged ?? (dx || dy ? via.map(shifted([dx, dy])) : via);
  return (
    <>
      <Line {...props} curve={curveOf(props, points)} />
      {!far && <Reroutes link={props.id} via={points} color={props.color} onMove={setDragged} />}
    </>
  );
}

function together(state: EditorState, { source, target }: EdgeProps<FlowEdge>, axis: 0 | 1): number {
  const [from, to] = [get(state.moving, source), get(state.moving, target)];
  return from === undefined || to === undefined ? 0 : to[axis] - positionOf(docOf(state), target)[axis];
}
