/** The dots of the grid: one picture that is shifted while the canvas is, which costs a browser nothing, and made anew when it is zoomed. */
import { type ReactFlowState, useStoreApi } from '@xyflow/react';
import { type ReactElement, useRef } from 'react';
import { useDrawn } from './useDrawn';
import './grid.css';

const GAP = 24;
/** on the screen; where dots would be closer, every other one is left out */
const LEAST = 16;

export function Grid(): ReactElement {
  const element = useRef<HTMLDivElement>(null);
  const store = useStoreApi();
  useDrawn(
    () => place(element.current!, store.getState()),
    (again) => [store.subscribe((now, before) => now.transform !== before.transform && again())],
  );
  return <div ref={element} className="dots" aria-hidden />;
}

function place({ style }: HTMLElement, { transform: [x, y, zoom] }: ReactFlowState): void {
  let gap = GAP * zoom;
  while (gap < LEAST) gap *= 2;
  const size = `${gap}px ${gap}px`;
  if (style.backgroundSize !== size) style.backgroundSize = size;
  style.transform = `translate(${before(x - gap / 2, gap)}px, ${before(y - gap / 2, gap)}px)`;
}

/** By less than one gap back from the corner, so that no edge comes into view. */
function before(offset: number, gap: number): number {
  return (((offset % gap) + gap) % gap) - gap;
}
