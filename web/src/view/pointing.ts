/** What lies under the pointer, the finger or the focus, and how it is brought into view. */
import type { ReactFlowInstance } from '@xyflow/react';
import { type PointerEvent, useRef } from 'react';
import type { Point } from '../document/model';
import { selectFor } from '../gestures/menus';
import { elementOf } from '../gestures/moving';
import { select, useEditor } from '../state/editor';
import type { FlowEdge, FlowGroup, FlowNode } from '../state/flow';
import type { MenuTarget } from '../state/menu';

/** What a context menu there is for; it is selected. Null where the browser's own menu is wanted, as in text. */
export function targetOf(element: Element): MenuTarget | null {
  if (element.closest('textarea, input:not([type=color]), .panel, .minimap') !== null) return null;
  const link = element.closest<SVGElement>('.react-flow__edge')?.dataset['id'];
  const point = element.closest<SVGElement>('[data-reroute]')?.dataset['reroute'];
  if (link !== undefined && point !== undefined) return { kind: 'reroute', id: link, index: Number(point) };
  if (link !== undefined) {
    select([], [link]);
    return { kind: 'link', id: link };
  }
  const node = element.closest<HTMLElement>('.react-flow__node')?.dataset['id'];
  if (node === undefined) return element.closest('.react-flow__nodesselection') === null ? { kind: 'canvas' } : { kind: 'selection' };
  if (node.startsWith('group:')) {
    if (useEditor.getState().selection.size > 1 && useEditor.getState().selection.has(node)) return { kind: 'selection' };
    select([node]);
    return { kind: 'group', index: Number(node.slice(6)) };
  }
  if (selectFor(node)) return { kind: 'selection' };
  return { kind: 'node', id: node, input: element.closest<HTMLElement>('[data-input]')?.dataset['input'] ?? null };
}

/** Brings a node into view, if it is not, and gives it the focus. */
export function reveal(
  flow: ReactFlowInstance<FlowNode | FlowGroup, FlowEdge>,
  nodes: readonly (FlowNode | FlowGroup)[],
  id: string,
): void {
  const node = nodes.find((one) => one.id === id);
  const stage = document.querySelector('.react-flow')?.getBoundingClientRect();
  if (node === undefined || stage === undefined) return;
  const [width, height] = [node.width ?? 0, node.height ?? 0];
  const start = flow.flowToScreenPosition(node.position);
  const end = flow.flowToScreenPosition({ x: node.position.x + width, y: node.position.y + height });
  const seen = start.x >= stage.left && start.y >= stage.top && end.x <= stage.right && end.y <= stage.bottom;
  if (!seen) void flow.setCenter(node.position.x + width / 2, node.position.y + height / 2, { zoom: Math.max(0.6, flow.getZoom()) });
  requestAnimationFrame(() => requestAnimationFrame(() => elementOf(id)?.focus({ preventScroll: true })));
}

const LONG = 500;
const STILL = 8;

/** A finger that rests asks for the menu, as the right button does. */
export function useLongPress(open: (element: Element, screen: Point) => boolean): {
  readonly onPointerDown: (event: PointerEvent) => void;
  readonly onPointerMove: (event: PointerEvent) => void;
  readonly onPointerUp: () => void;
  readonly onPointerCancel: () => void;
} {
  const held = useRef<{ timer: ReturnType<typeof setTimeout>; at: Point } | null>(null);
  const stop = (): void => {
    clearTimeout(held.current?.timer);
    held.current = null;
  };
  return {
    onPointerDown: (event) => {
      stop();
      if (event.pointerType !== 'touch' || !event.isPrimary) return;
      const at: Point = [event.clientX, event.clientY];
      const element = event.target as Element;
      held.current = { at, timer: setTimeout(() => open(element, at), LONG) };
    },
    onPointerMove: (event) => {
      const at = held.current?.at;
      if (at !== undefined && Math.hypot(event.clientX - at[0], event.clientY - at[1]) > STILL) stop();
    },
    onPointerUp: stop,
    onPointerCancel: stop,
  };
}
