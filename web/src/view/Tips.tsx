/**
 * One tooltip for the whole page: it shows the `title` or `data-tip` of what is pointed at or focused. A title is set aside
 * meanwhile, so that the browser does not show it too, and put back afterwards.
 */
import * as Tooltip from '@radix-ui/react-tooltip';
import { type ReactElement, useEffect, useState } from 'react';
import './tips.css';

const PATIENCE = 450;
const MARKED = '[title], [data-tip]';

interface Tip {
  readonly text: string;
  readonly color: string | undefined;
  readonly box: DOMRect;
}

export function Tips(): ReactElement | null {
  const [tip, setTip] = useState<Tip | null>(null);
  useEffect(() => attach(setTip), []);
  if (tip === null) return null;
  const { left, top, width, height } = tip.box;
  return (
    <Tooltip.Provider>
      <Tooltip.Root open>
        <Tooltip.Trigger asChild>
          <span className="tip-place" aria-hidden style={{ left, top, width, height }} />
        </Tooltip.Trigger>
        <Tooltip.Portal>
          <Tooltip.Content className="tip" sideOffset={6} collisionPadding={8} side="bottom">
            {tip.color !== undefined && <span className="tip-dot" style={{ background: tip.color }} />}
            {tip.text}
          </Tooltip.Content>
        </Tooltip.Portal>
      </Tooltip.Root>
    </Tooltip.Provider>
  );
}

function attach(show: (tip: Tip | null) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let held: { element: Element; title: string | null } | null = null;
  const leave = (): void => {
    clearTimeout(timer);
    if (held?.title && !held.element.hasAttribute('title')) held.element.setAttribute('title', held.title);
    if (held !== null) show(null);
    held = null;
  };
  const enter = (event: Event): void => {
    const element = event.target instanceof Element ? event.target.closest(MARKED) : null;
    if (element === held?.element) return;
    leave();
    if (element === null || (event.type === 'focusin' && !element.matches(':focus-visible'))) return;
    const title = element.getAttribute('title');
    const text = element.getAttribute('data-tip') ?? title ?? '';
    if (text === '') return;
    held = { element, title };
    element.removeAttribute('title');
    timer = setTimeout(() => {
      if (!element.isConnected) return;
      show({ text, color: element.getAttribute('data-color') ?? undefined, box: element.getBoundingClientRect() });
    }, PATIENCE);
  };
  const over = (event: PointerEvent): void => {
    if (event.pointerType !== 'touch' && event.buttons === 0) enter(event);
  };
  const leaving = ['pointerdown', 'keydown', 'wheel', 'scroll', 'dragstart'] as const;
  document.addEventListener('pointerover', over);
  document.addEventListener('focusin', enter);
  document.documentElement.addEventListener('pointerleave', leave);
  for (const name of leaving) document.addEventListener(name, leave, { capture: true, passive: true });
  return () => {
    leave();
    document.removeEventListener('pointerover', over);
    document.removeEventListener('focusin', enter);
    document.documentElement.removeEventListener('pointerleave', leave);
    for (const name of leaving) document.removeEventListener(name, leave, { capture: true });
  };
}
