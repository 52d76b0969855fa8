/** A list to choose from, with a search field that is seen where the list is long, or once one types. Opens below what it belongs to. */
import './picker.css';
import { type KeyboardEvent, type ReactElement, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { createPortal } from 'react-dom';
import { matcherOf } from '../document/words';

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
  const list = useId();
  const isShort = options !== null && options.length < SEARCH_FROM;
  const box = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const early = useRef<string[]>([]);
  const found = useMemo(() => {
    const fits = matcherOf(query);
    return (options ?? []).filter((option) => fits(option.label));
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

  useLayoutEffect(() => field.current?.focus({ preventScroll: true }), []);

  useEffect(() => {
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

  /** Where the choice goes from one place with a key; undefined if the key is none of the list's. */
  const moved = (from: number, key: string): number | undefined => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[key];
    return step === undefined ? undefined : Math.max(0, Math.min(found.length - 1, from + step));
  };
  const pick = (i: number): void => {
    const option = found[i];
    if (option !== undefined) onPick(option.value);
  };

  // keys that came before the options did; before the next key can come, which is why this is no plain effect
  // biome-ignore lint/correctness/useExhaustiveDependencies: done once, with what was found by then
  useLayoutEffect(() => {
    if (options === null) return;
    let to = current;
    for (const key of early.current.splice(0)) {
      if (key === 'Enter') {
        pick(to);
        return;
      }
      to = moved(to, key) ?? to;
    }
    if (to !== current) setAt(to);
  }, [options]);

  const onKey = (event: KeyboardEvent): void => {
    event.stopPropagation();
    const to = moved(current, event.key);
    if (event.key === 'Escape' || event.key === 'Tab') onClose();
    else if (to === undefined && event.key !== 'Enter') return;
    else if (options === null) early.current.push(event.key);
    else if (to === undefined) pick(current);
    else setAt(to);
    event.preventDefault();
  };

  return createPortal(
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the list inside
    <div className="picker" ref={box} onKeyDown={onKey}>
      <input
        ref={field}
        className={isShort && query === '' ? 'picker-search unseen' : 'picker-search'}
        placeholder="Search"
        // where fingers do the typing no keyboard is to cover a short list
        inputMode={isShort ? 'none' : 'search'}
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={found.length > 0 ? `${list}-${current}` : undefined}
        aria-label={`Search ${label}`}
        value={query}
        onChange={(event) => {
          setQuery(event.target.value);
          setAt(0);
        }}
      />
      <div className="picker-list" id={list} role="listbox" aria-label={label}>
        {options === null && <div className="picker-note">Loading…</div>}
        {options !== null && found.length === 0 && (
          <div className="picker-note">{query ? 'Nothing of that name' : 'Nothing there yet'}</div>
        )}
        {found.map((option, i) => (
          // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus
          // biome-ignore lint/a11y/useKeyWithClickEvents: the list hears the keys
          <div
            key={option.value}
            id={`${list}-${i}`}
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
