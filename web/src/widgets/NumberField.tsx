/** A number: drag it sideways, step it with the arrow keys, or type it, arithmetic included. With both limits it shows where it lies between. */
import { type KeyboardEvent, type PointerEvent, type ReactElement, useEffect, useRef, useState } from 'react';
import { evaluate } from '../document/arithmetic';
import type { InputSpec } from '../document/catalog';
import { nearest } from '../document/literals';

interface Props {
  readonly label: string;
  readonly spec: InputSpec;
  readonly value: number | null;
  readonly fault: string | null;
  readonly onChange: (value: number | null) => void;
}

const PIXELS_TO_DRAG = 3;
/** a range of more steps than this is no scale: a pixel would be many of them */
const MOST_STEPS = 400;

export function NumberField({ label, spec, value, fault, onChange }: Props): ReactElement {
  const [text, setText] = useState<string | null>(null);
  const field = useRef<HTMLDivElement>(null);
  const drag = useRef<{ x: number; from: number; moved: boolean } | null>(null);
  /** typed with the keyboard, the field takes the focus back */
  const back = useRef(false);
  useEffect(() => {
    if (text === null && back.current) field.current?.focus({ preventScroll: true });
    back.current = false;
  }, [text]);
  const step = spec.widget?.step ?? (spec.type === 'int' ? 1 : 0.01);
  const { minimum, maximum } = spec;
  const slider =
    spec.widget?.kind === 'slider' && minimum !== undefined && maximum !== undefined && (maximum - minimum) / step <= MOST_STEPS;
  const now = value ?? minimum ?? 0;

  const finish = (): void => {
    if (text === null) return;
    if (text.trim() === '' && spec.optional) onChange(null);
    const found = evaluate(text, now);
    if (found !== null) onChange(nearest(spec, found));
    setText(null);
  };
  const onDown = (event: PointerEvent<HTMLDivElement>): void => {
    if (event.button !== 0) return;
    drag.current = { x: event.clientX, from: now, moved: false };
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const onMove = (event: PointerEvent<HTMLDivElement>): void => {
    const held = drag.current;
    if (held === null) return;
    const by = event.clientX - held.x;
    if (!held.moved && Math.abs(by) < PIXELS_TO_DRAG) return;
    held.moved = true;
    const width = field.current!.getBoundingClientRect().width;
    const each = slider && event.shiftKey === false ? (maximum - minimum) / width : (step * (event.shiftKey ? 0.1 : 1)) / 2;
    onChange(nearest(spec, held.from + by * each));
  };
  const onUp = (): void => {
    if (drag.current !== null && !drag.current.moved) setText(value === null ? '' : String(value));
    drag.current = null;
  };
  const onKey = (event: KeyboardEvent): void => {
    if (isRun(event)) return;
    const by = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
    if (by !== undefined) onChange(nearest(spec, now + by * step * (event.shiftKey ? 10 : 1)));
    else if (event.key === 'Enter' || event.key === 'F2') setText(value === null ? '' : String(value));
    else if (/^[\d.(*/+-]$/.test(event.key) && !event.ctrlKey && !event.metaKey) setText(event.key);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  if (text !== null) {
    return (
      <input
        className="field number-text nodrag"
        aria-label={label}
        // biome-ignore lint/a11y/noAutofocus: it takes the place of what was clicked
        autoFocus
        value={text}
        onFocus={(event) => text.length > 1 && event.target.select()}
        onChange={(event) => setText(event.target.value)}
        onBlur={finish}
        onKeyDown={(event) => {
          if (!isRun(event)) event.stopPropagation();
          back.current = event.key === 'Enter' || event.key === 'Escape';
          if (event.key === 'Enter') finish();
          if (event.key === 'Escape') setText(null);
        }}
      />
    );
  }
  const share = slider ? Math.max(0, Math.min(1, (now - minimum) / (maximum - minimum))) : 0;
  return (
    <div
      ref={field}
      className={`field number own-keys nodrag${fault ? ' wrong' : ''}`}
      role="spinbutton"
      tabIndex={0}
      aria-label={label}
      aria-valuenow={now}
      aria-valuemin={minimum}
      aria-valuemax={maximum}
      aria-invalid={fault !== null}
      title={fault ? `${label} ${fault}` : spec.tooltip}
      onPointerDown={onDown}
      onPointerMove={onMove}
      onPointerUp={onUp}
      onKeyDown={onKey}
    >
      {slider && <span className="number-fill" style={{ width: `${share * 100}%` }} />}
      <span className="field-label">{label}</span>
      <span className="field-value">{value === null ? 'auto' : shown(value)}</span>
    </div>
  );
}

/** The keys that run the workflow do so from everywhere. */
function isRun(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && (event.ctrlKey || event.metaKey);
}

function shown(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toFixed(6)));
}
