/**
 * One canvas behind the nodes, on which they are drawn from afar, with their links and frames: a browser draws a thousand boxes on
 * a canvas in a fraction of the time that a thousand elements take. What is pressed, focused and read out stays elements.
 */
import { type ReactFlowState, useStoreApi } from '@xyflow/react';
import { type ReactElement, useRef } from 'react';
import { useEditor } from '../../state/editor';
import type { FlowEdge, FlowGroup, FlowNode } from '../../state/flow';
import { problemOf, runOf } from '../../state/inside';
import { useRuns } from '../../state/runs';
import { fitted, useDrawn } from '../useDrawn';
import { drawScene, type Fate } from './draw';
import { currentInk } from './ink';
import { Ways } from './ways';
import './far.css';

interface Props {
  readonly nodes: readonly (FlowNode | FlowGroup)[];
  readonly edges: readonly FlowEdge[];
}

export function FarCanvas({ nodes, edges }: Props): ReactElement {
  const element = useRef<HTMLCanvasElement>(null);
  const ways = useRef(new Ways());
  const store = useStoreApi();
  useDrawn(
    () => {
      const { transform, width, height } = store.getState();
      const [x, y, zoom] = transform;
      const scene = { nodes, ways: ways.current.of(nodes, edges), fateOf };
      drawScene(fitted(element.current!, width, height), scene, { x, y, zoom, width, height }, currentInk());
    },
    (again) => [
      store.subscribe((now, before) => isMoved(now, before) && again()),
      useRuns.subscribe((now, before) => now.byTab !== before.byTab && again()),
      useEditor.subscribe((now, before) => now.problems !== before.problems && again()),
    ],
  );
  return <canvas ref={element} className="far-canvas" aria-hidden />;
}

/** Whether another part of the canvas is looked at. */
export function isMoved(now: ReactFlowState, before: ReactFlowState): boolean {
  return now.transform !== before.transform || now.width !== before.width || now.height !== before.height;
}

function fateOf(id: string): Fate {
  return { run: runOf(useRuns.getState(), id), wrong: problemOf(useEditor.getState(), id) !== undefined };
}
