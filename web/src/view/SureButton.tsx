/** A button for what cannot be undone: the first press asks, the second one does it. */
import { type ReactElement, type ReactNode, useEffect, useState } from 'react';

const MILLISECONDS = 3000;

interface SureProps {
  readonly label: string;
  readonly onSure: () => void;
  readonly children: ReactNode;
}

export function SureButton({ label, onSure, children }: SureProps): ReactElement {
  const [asked, setAsked] = useState(false);
  useEffect(() => {
    if (!asked) return;
    const timer = setTimeout(() => setAsked(false), MILLISECONDS);
    return () => clearTimeout(timer);
  }, [asked]);
  if (!asked) {
    return (
      <button type="button" className="tool" aria-label={label} title={label} onClick={() => setAsked(true)}>
        {children}
      </button>
    );
  }
  return (
    <button type="button" className="button small sure" onClick={onSure} onBlur={() => setAsked(false)}>
      {label}?
    </button>
  );
}
