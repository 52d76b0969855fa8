/** A list to choose from, with a search field where it is long. Opens below what it belongs to. */
import { type KeyboardEvent, type ReactElement, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { createPortal } from 'react-dom';

export interface Option {
  readonly value: string;
  readonly label: string;
  readonly note?: string;
  readonly picture?: string;
}

interface Props {
  readonly options: readonly Option[] | null;
  readonly value: string;
  readonly anchor: HTMLElement;
  readonly label: string;
  readonly onPick: (value: string) => void;
  readonly onClose: () => void;
}

const SEARCH_FROM = 8;
const HEIGHT = 320;

export function Picker({ options, value, anchor, label, onPick, onClose }: Props): ReactElement {
  const [query, setQuery] = useState('');
  const [at, setAt] = useState(-1);
  const box = useRef<HTMLDivElement>(null);
  const found = useMemo(() => {
    const words = query.toLowerCase().split(/\s+/);
    return (options ?? []).filter((option) => words.every((word) => option.label.toLowerCase().includes(word)));
  }, [options, query]);
  const current =
    at >= 0
      ? Math.min(at, found.length - 1)
      : Math.max(
          0,
          found.findIndex((option) => option.value === value),
        );

  useLayoutEffect(() => {
    const rect = anchor.getBoundingClientRect();
    const style = box.current!.style;
    const below = window.innerHeight - rect.bottom;
    style.left = `${Math.max(8, Math.min(rect.left, window.innerWidth - 288))}px`;
    style.minWidth = `${Math.min(320, Math.max(160, rect.width))}px`;
    if (below < HEIGHT && rect.top > below) style.bottom = `${window.innerHeight - rect.top + 4}px`;
    else style.top = `${rect.bottom + 4}px`;
  }, [anchor]);

  useEffect(() => {
    box.current?.querySelector<HTMLElement>('input, [tabindex]')?.focus({ preventScroll: true });
    const outside = (event: PointerEvent): void => {
      if (!box.current?.contains(event.target as Node)) onClose();
    };
    addEventListener('pointerdown', outside, true);
    addEventListener('wheel', outside as never, true);
    return () => {
      removeEventListener('pointerdown', outside, true);
      removeEventListener('wheel', outside as never, true);
    };
  }, [onClose]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: it is scrolled to when another one is the current
  useEffect(() => {
    box.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [current, found.length]);

  const onKey = (event: KeyboardEvent): void => {
    event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step !== undefined) setAt(Math.max(0, Math.min(found.length - 1, current + step)));
    else if (event.key === 'Enter' && found[current]) onPick(found[current].value);
    else if (event.key === 'Escape' || event.key === 'Tab') onClose();
    else return;
    event.preventDefault();
  };

  return createPortal(
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the list inside
    <div className="picker" ref={box} onKeyDown={onKey}>
      {(options?.length ?? 0) >= SEARCH_FROM && (
        <input
          className="picker-search"
          placeholder="Search"
          aria-label={`Search ${label}`}
          value={query}
          onChange={(event) => {
            setQuery(event.target.value);
            setAt(0);
          }}
        />
      )}
      <div className="picker-list" role="listbox" aria-label={label} tabIndex={0}>
        {options === null && <div className="picker-note">Loading…</div>}
        {options !== null && found.length === 0 && (
          <div className="picker-note">{query ? 'Nothing of that name' : 'Nothing there yet'}</div>
        )}
        {found.map((option, i) => (
          // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus
          // biome-ignore lint/a11y/useKeyWithClickEvents: the list hears the keys
          <div
            key={option.value}
            role="option"
            aria-selected={i === current}
            className={option.value === value ? 'picker-option chosen' : 'picker-option'}
            onClick={() => onPick(option.value)}
          >
            {option.picture !== undefined && <img src={option.picture} alt="" loading="lazy" />}
            <span>{option.label}</span>
            {option.note !== undefined && <small>{option.note}</small>}
          </div>
        ))}
      </div>
    </div>,
    document.body,
  );
}
