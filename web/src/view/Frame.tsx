/** The frame of a dialog: the browser's own element keeps the focus inside, closes on Escape and is announced to screen readers. */
import { X } from 'lucide-react';
import { type ReactElement, type ReactNode, useEffect, useRef } from 'react';
import { show } from '../state/editor';

interface FrameProps {
  readonly title: string;
  readonly wide?: boolean;
  readonly children: ReactNode;
}

export function Frame({ title, wide, children }: FrameProps): ReactElement {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (!element.current!.open) element.current!.showModal();
    element.current!.querySelector<HTMLInputElement>('input, .card')?.focus();
    element.current!.querySelector('input')?.select();
  }, []);
  const close = (): void => show(null);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it
    <dialog
      ref={element}
      className={wide ? 'dialog wide' : 'dialog'}
      aria-label={title}
      onClose={close}
      onClick={(event) => event.target === element.current && close()}
    >
      <header>
        <h2>{title}</h2>
        <button type="button" className="mini" aria-label="Close" onClick={close}>
          <X size={16} />
        </button>
      </header>
      {children}
    </dialog>
  );
}
