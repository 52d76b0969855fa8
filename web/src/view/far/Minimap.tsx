/** The whole workflow in small, with a frame around what is in view: press or drag to go there, turn the wheel to zoom. */
import { type ReactFlowState, useReactFlow, useStoreApi } from '@xyflow/react';
import { type PointerEvent, type ReactElement, useMemo, useRef } from 'react';
import { drawable } from '../../document/colors';
import { type Box, boundsOf } from '../../document/geometry';
import { boxesOf, type FlowGroup, type FlowNode } from '../../state/flow';
import { fitted, useDrawn } from '../useDrawn';
import { isMoved } from './FarCanvas';
import { currentInk } from './ink';
import './minimap.css';

const WIDTH = 200;
const HEIGHT = 150;
const MARGIN = 8;
const ZOOM_STEP = 1.002;

export function Minimap({ nodes }: { readonly nodes: readonly (FlowNode | FlowGroup)[] }): ReactElement {
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const drawn = useRef({ nodes: [] as readonly (FlowNode | FlowGroup)[], key: '' });
  const store = useStoreApi();
  const flow = useReactFlow();
  const bounds = useMemo(() => boundsOf(Object.values(boxesOf(nodes))), [nodes]);

  useDrawn(
    () => {
      const view = viewOf(store.getState());
      const scale = scaleOf(bounds, view);
      const key = `${scale.x} ${scale.y} ${scale.by} ${currentInk().theme}`;
      if (drawn.current.nodes !== nodes || drawn.current.key !== key) draw(fitted(canvas.current!, WIDTH, HEIGHT), nodes, scale);
      drawn.current = { nodes, key };
      place(frame.current!, view, scale);
    },
    (again) => [store.subscribe((now, before) => isMoved(now, before) && again())],
  );

  const go = (event: PointerEvent): void => {
    if (event.buttons !== 1) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const corner = event.currentTarget.getBoundingClientRect();
    const { x, y, by } = scaleOf(bounds, viewOf(store.getState()));
    void flow.setCenter((event.clientX - corner.left - x) / by, (event.clientY - corner.top - y) / by, { zoom: flow.getZoom() });
  };
  return (
    <div
      className="minimap nowheel"
      role="img"
      aria-label="Map of the workflow"
      style={{ width: WIDTH, height: HEIGHT }}
      onPointerDown={go}
      onPointerMove={go}
      onWheel={(event) => void flow.zoomTo(flow.getZoom() * ZOOM_STEP ** -event.deltaY)}
    >
      <canvas ref={canvas} aria-hidden />
      <div ref={frame} className="minimap-view" />
    </div>
  );
}

/** Where a point of the workflow lies on the map: `by` times as far, and moved. */
interface Scale {
  readonly x: number;
  readonly y: number;
  readonly by: number;
}

function viewOf({ transform: [x, y, zoom], width, height }: ReactFlowState): Box {
  return { x: -x / zoom, y: -y / zoom, width: width / zoom, height: height / zoom };
}

function scaleOf(bounds: Box | null, view: Box): Scale {
  const all = boundsOf(bounds === null ? [view] : [bounds, view])!;
  const by = Math.min((WIDTH - 2 * MARGIN) / Math.max(1, all.width), (HEIGHT - 2 * MARGIN) / Math.max(1, all.height));
  return { x: WIDTH / 2 - (all.x + all.width / 2) * by, y: HEIGHT / 2 - (all.y + all.height / 2) * by, by };
}

function draw(context: CanvasRenderingContext2D, nodes: readonly (FlowNode | FlowGroup)[], { x, y, by }: Scale): void {
  const ink = currentInk();
  context.clearRect(0, 0, WIDTH, HEIGHT);
  for (const node of nodes) {
    const box = [node.position.x * by + x, node.position.y * by + y, (node.width ?? 0) * by, (node.height ?? 0) * by] as const;
    if (node.type === 'group') {
      context.strokeStyle = drawable(node.data.group.color) ?? ink.frame;
      context.strokeRect(...box);
      continue;
    }
    const color = drawable(node.data.layout?.color);
    context.fillStyle = node.selected ? ink.accent : color === undefined ? ink.map : ink.tint(color);
    context.fillRect(box[0], box[1], Math.max(1, box[2]), Math.max(1, box[3]));
  }
}

function place(frame: HTMLElement, view: Box, { x, y, by }: Scale): void {
  frame.style.transform = `translate(${view.x * by + x}px, ${view.y * by + y}px)`;
  frame.style.width = `${view.width * by}px`;
  frame.style.height = `${view.height * by}px`;
}
