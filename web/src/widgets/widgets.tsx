/** One widget for each kind of value. They know a value and how to tell a new one, nothing of workflows. */
import { Dices, Lock, Plus } from 'lucide-react';
import { type ReactElement, useState } from 'react';
import { evaluate } from '../document/arithmetic';
import type { InputSpec } from '../document/catalog';
import type { Json } from '../document/json';
import { randomSeed } from '../state/actions';
import { Choosing } from './Choosing';
import { FileField } from './FileField';
import { NoteField } from './NoteField';
import { NumberField } from './NumberField';
import type { Option } from './Picker';
import { PromptField } from './PromptField';

export interface WidgetProps {
  readonly node: string;
  /** of the node */
  readonly type: string;
  readonly name: string;
  readonly label: string;
  readonly spec: InputSpec;
  readonly value: Json;
  readonly fault: string | null;
  readonly onChange: (value: Json) => void;
  /** of a seed: what becomes of it after a run */
  readonly after: string;
  readonly onAfter: (how: string) => void;
}

export function Widget(props: WidgetProps): ReactElement {
  switch (props.spec.widget?.kind) {
    case 'number':
    case 'slider':
      return <NumberField {...props} value={numberOf(props.value)} />;
    case 'seed':
      return <SeedField {...props} />;
    case 'switch':
      return <SwitchField {...props} />;
    case 'choice':
      return <ChoiceField {...props} />;
    case 'model':
    case 'file':
      return <FileField {...props} />;
    case 'color':
      return <ColorField {...props} />;
    default:
      return <TextField {...props} />;
  }
}

function numberOf(value: Json): number | null {
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : null;
}

function TextField({ type, label, spec, value, fault, onChange }: WidgetProps): ReactElement {
  const text = typeof value === 'string' ? value : value === null ? '' : String(value);
  const common = {
    'aria-label': label,
    placeholder: spec.widget?.placeholder || label,
    title: spec.tooltip,
    value: text,
    spellCheck: false,
    'aria-invalid': fault !== null,
  };
  if (type === 'Note') return <NoteField label={label} text={text} onChange={onChange} />;
  if (spec.widget?.prompt === true) {
    const { placeholder, title } = common;
    return <PromptField label={label} text={text} placeholder={placeholder} tooltip={title} invalid={fault !== null} onChange={onChange} />;
  }
  if (spec.widget?.multiline === true) {
    return <textarea {...common} className="field text nodrag nowheel nopan" onChange={(event) => onChange(event.target.value)} />;
  }
  return (
    <div className="field line nodrag">
      <span className="field-label">{label}</span>
      <input
        {...common}
        placeholder={spec.widget?.placeholder ?? ''}
        className="field-input"
        onChange={(event) => onChange(event.target.value)}
      />
    </div>
  );
}

const AFTER: readonly { how: string; title: string; icon: ReactElement }[] = [
  { how: '', title: 'The seed stays as it is after a run', icon: <Lock size={13} /> },
  { how: 'random', title: 'A new random seed after each run', icon: <Dices size={13} /> },
  { how: 'increment', title: 'One more after each run', icon: <Plus size={13} /> },
];

function SeedField({ label, spec, value, fault, onChange, after, onAfter }: WidgetProps): ReactElement {
  const [text, setText] = useState<string | null>(null);
  const mode = Math.max(
    0,
    AFTER.findIndex((one) => one.how === after),
  );
  const finish = (): void => {
    if (text !== null) {
      const found = /^\s*\d+\s*$/.test(text) ? BigInt(text.trim()) : evaluate(text, Number(value ?? 0));
      if (typeof found === 'bigint') onChange(found <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(found) : found);
      else if (found !== null) onChange(Math.max(0, Math.round(found)));
    }
    setText(null);
  };
  return (
    <div className={`field line seed nodrag${fault ? ' wrong' : ''}`} title={fault ?? spec.tooltip}>
      <span className="field-label">{label}</span>
      <input
        className="field-input"
        aria-label={label}
        inputMode="numeric"
        value={text ?? String(value ?? 0)}
        onChange={(event) => setText(event.target.value)}
        onBlur={finish}
        onKeyDown={(event) => event.key === 'Enter' && finish()}
      />
      <button type="button" className="mini" title="A random seed now" aria-label="Random seed" onClick={() => onChange(randomSeed())}>
        <Dices size={14} />
      </button>
      <button
        type="button"
        className={mode > 0 ? 'mini on' : 'mini'}
        title={AFTER[mode]!.title}
        aria-label={AFTER[mode]!.title}
        onClick={() => onAfter(AFTER[(mode + 1) % AFTER.length]!.how)}
      >
        {AFTER[mode]!.icon}
      </button>
    </div>
  );
}

function SwitchField({ label, spec, value, onChange }: WidgetProps): ReactElement {
  const on = value === true;
  return (
    <button
      type="button"
      role="switch"
      aria-checked={on}
      className="field line switch nodrag"
      title={spec.tooltip}
      onClick={() => onChange(!on)}
    >
      <span className="field-label">{label}</span>
      <span className={on ? 'knob on' : 'knob'} />
    </button>
  );
}

function ChoiceField({ label, spec, value, fault, onChange }: WidgetProps): ReactElement {
  const choices = spec.choices ?? [];
  const options = choices.map((choice): Option => ({ value: String(choice), label: String(choice) }));
  const pick = (text: string): void => onChange(choices.find((choice) => String(choice) === text) ?? text);
  return <Choosing label={label} tooltip={spec.tooltip} value={String(value ?? '')} fault={fault} load={() => options} onPick={pick} />;
}

function ColorField({ label, value, onChange }: WidgetProps): ReactElement {
  const text = typeof value === 'string' && /^#[0-9a-f]{6}$/i.test(value) ? value : '#000000';
  return (
    <label className="field line nodrag">
      <span className="field-label">{label}</span>
      <span className="field-value">{text}</span>
      <input type="color" className="color" value={text} onChange={(event) => onChange(event.target.value)} />
    </label>
  );
}
