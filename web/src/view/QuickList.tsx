/** A list one types into: to jump to a node of a large workflow, or to connect one without the mouse. */
import { type KeyboardEvent, type ReactElement, useEffect, useMemo, useRef, useState } from 'react';
import { choicesOf, matching, nameOf } from '../gestures/finding';
import { elementOf } from '../gestures/moving';
import { currentDoc } from '../state/editor';
import { openQuick, type Quick, useQuick } from '../state/quick';
import './quick.css';

export function QuickList(): ReactElement | null {
  const open = useQuick((state) => state.open);
  return open === null ? null : <Open open={open} />;
}

function Open({ open }: { readonly open: Quick }): ReactElement {
  const [query, setQuery] = useState('');
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const choices = useMemo(() => choicesOf(open), [open]);
  const found = useMemo(() => matching(choices, query), [choices, query]);
  const current = Math.min(at, found.length - 1);
  const title = open.kind === 'find' ? 'Find a node' : `Connect ${nameOf(currentDoc(), open.node)}${open.input ? ` · ${open.input}` : ''}`;

  // biome-ignore lint/correctness/useExhaustiveDependencies: scrolled to when another one is the current
  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [current, found]);

  const close = (): void => {
    openQuick(null);
    if (open.kind === 'connect') elementOf(open.node)?.focus({ preventScroll: true });
  };
  const pick = (i: number): void => {
    close();
    found[i]?.run();
  };
  const onKey = (event: KeyboardEvent): void => {
    event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step !== undefined) setAt(Math.max(0, Math.min(found.length - 1, current + step)));
    else if (event.key === 'Enter') pick(current);
    else if (event.key === 'Escape' || event.key === 'Tab') close();
    else return;
    event.preventDefault();
  };

  return (
    <>
      <div className="veil" onPointerDown={close} />
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the field inside */}
      <div className="palette quick" role="dialog" aria-label={title} onKeyDown={onKey}>
        <input
          // biome-ignore lint/a11y/noAutofocus: it was asked for by a key
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls="quick-list"
          aria-activedescendant={found.length > 0 ? `quick-${current}` : undefined}
          aria-label={title}
          placeholder={title}
          value={query}
          onChange={(event) => {
            setQuery(event.target.value);
            setAt(0);
          }}
        />
        <div className="palette-list" id="quick-list" role="listbox" aria-label={title} ref={list}>
          {found.length === 0 && <div className="picker-note">{query ? 'Nothing of that name' : 'Nothing fits'}</div>}
          {found.map((one, i) => (
            // biome-ignore lint/a11y/useFocusableInteractive: the field has the focus
            // biome-ignore lint/a11y/useKeyWithClickEvents: the field hears the keys
            <div
              key={one.key}
              id={`quick-${i}`}
              role="option"
              aria-selected={i === current}
              className="palette-option"
              onPointerMove={() => setAt(i)}
              onClick={() => pick(i)}
            >
              {one.color !== undefined && <span className="quick-dot" style={{ background: one.color }} />}
              <span className="quick-label">{one.label}</span>
              <small>{one.note}</small>
            </div>
          ))}
        </div>
      </div>
    </>
  );
}
