/** The points a link is led through: dragged, or taken away by a double-click. */
import { useReactFlow } from '@xyflow/react';
import { type PointerEvent, type ReactElement, useState } from 'react';
import { moveReroute, removeReroute } from '../document/edits/reroutes';
import { snap } from '../document/geometry';
import type { Point } from '../document/model';
import { perform } from '../state/editor';
import { endOfEdge } from '../state/flow';
import './reroutes.css';

interface Props {
  readonly link: string;
  readonly via: readonly Point[];
  readonly color: string;
  /** where one is while it is dragged */
  readonly onMove: (via: readonly Point[] | null) => void;
}

export function Reroutes({ link, via, color, onMove }: Props): ReactElement {
  const flow = useReactFlow();
  const [held, setHeld] = useState<number | null>(null);
  const placeOf = (event: PointerEvent): Point => {
    const { x, y } = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    return [snap(x), snap(y)];
  };
  const drop = (event: PointerEvent): void => {
    if (held === null) return;
    const at = placeOf(event);
    setHeld(null);
    onMove(null);
    perform('Move a reroute', (edit) => moveReroute(edit, ...endOfEdge(link), held, at));
  };
  return (
    <>
      {via.map(([x, y], i) => (
        // biome-ignore lint/a11y/noStaticElementInteractions: by key, links are led and freed from the menu
        <g
          // biome-ignore lint/suspicious/noArrayIndexKey: a point is known by its place alone
          key={i}
          className="reroute nopan nodrag"
          data-reroute={i}
          onPointerDown={(event) => {
            if (event.button !== 0) return;
            event.stopPropagation();
            event.currentTarget.setPointerCapture(event.pointerId);
            setHeld(i);
          }}
          onPointerMove={(event) => held === i && onMove(via.with(i, placeOf(event)))}
          onPointerUp={drop}
          onPointerCancel={() => {
            setHeld(null);
            onMove(null);
          }}
          onDoubleClick={(event) => {
            event.stopPropagation();
            perform('Remove a reroute', (edit) => removeReroute(edit, ...endOfEdge(link), i));
          }}
        >
          <circle className="reroute-reach" cx={x} cy={y} r={12} />
          <circle cx={x} cy={y} r={5} style={{ fill: color }} />
        </g>
      ))}
    </>
  );
}
