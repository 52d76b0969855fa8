/**
 * Which nodes have elements in the page. Near by, and in workflows of common size, all that are in view. From afar over many they
 * are drawn on the canvas alone, but for the one under the pointer and the few that are selected: those are pressed, dragged,
 * focused and read out.
 */
import { useStoreApi } from '@xyflow/react';
import { type RefObject, useCallback, useEffect, useMemo, useState } from 'react';
import { flushSync } from 'react-dom';
import type { Box } from '../../document/geometry';
import { docOf, select, useEditor } from '../../state/editor';
import type { FlowGroup, FlowNode } from '../../state/flow';

const MANY = 200;
/** as many selected ones; of more, those that the pointer comes to */
const FEW = 24;

interface Pointer {
  readonly clientX: number;
  readonly clientY: number;
  readonly buttons?: number;
}

export interface Real {
  /** null: all */
  readonly ids: ReadonlySet<string> | null;
  /** What the pointer comes to is real before it is pressed. */
  readonly onPointer: (event: Pointer) => void;
}

type Nodes = RefObject<readonly (FlowNode | FlowGroup)[]>;

export function useReal(far: boolean, pictured: ReadonlySet<string>, nodes: Nodes): Real {
  const store = useStoreApi();
  const many = useEditor((state) => far && Object.keys(docOf(state).nodes).length > MANY);
  const selection = useEditor((state) => state.selection);
  const [near, setNear] = useState<string | null>(null);
  useMarquee(many, nodes);
  const ids = useMemo(() => {
    if (!many) return null;
    return new Set([...pictured, ...(selection.size <= FEW ? selection : []), ...(near === null ? [] : [near])]);
  }, [many, pictured, selection, near]);
  const onPointer = useCallback(
    ({ clientX, clientY, buttons = 0 }: Pointer) => {
      if (!many || buttons !== 0) return;
      const { transform, domNode } = store.getState();
      const corner = domNode?.getBoundingClientRect();
      if (corner === undefined) return;
      const [x, y] = [clientX - corner.left, clientY - corner.top].map((one, i) => (one - transform[i as 0 | 1]) / transform[2]);
      const found = within(nodes.current, { x: x!, y: y!, width: 0, height: 0 }).at(-1)?.id ?? null;
      if (found !== near) flushSync(() => setNear(found));
    },
    [many, near, nodes, store],
  );
  return { ids, onPointer };
}

/** React Flow's own marquee takes elements alone. */
function useMarquee(many: boolean, nodes: Nodes): void {
  const store = useStoreApi();
  useEffect(() => {
    if (!many) return;
    return store.subscribe(({ userSelectionRect: rect, transform: [x, y, zoom] }, before) => {
      if (rect === null || rect === before.userSelectionRect || !(rect.width > 0 || rect.height > 0)) return;
      const box = { x: (rect.x - x) / zoom, y: (rect.y - y) / zoom, width: rect.width / zoom, height: rect.height / zoom };
      select(within(nodes.current, box).map((node) => node.id));
    });
  }, [many, nodes, store]);
}

/** The nodes that a box touches; those drawn on top last. */
function within(nodes: readonly (FlowNode | FlowGroup)[], { x, y, width, height }: Box): FlowNode[] {
  const found = nodes.filter(
    (node): node is FlowNode =>
      node.type === 'node' &&
      node.position.x <= x + width &&
      node.position.y <= y + height &&
      node.position.x + (node.width ?? 0) >= x &&
      node.position.y + (node.height ?? 0) >= y,
  );
  return [...found.filter((node) => !node.selected), ...found.filter((node) => node.selected)];
}
