/** A dialog that fills the window, with a bar of actions; each action has keys of its own. */
import { Keyboard, X } from 'lucide-react';
import { type KeyboardEvent, type ReactElement, type ReactNode, useEffect, useRef, useState } from 'react';
import { keyName, pressed } from '../../gestures/keys';
import './pictures.css';

export interface Action {
  readonly label: string;
  readonly keys: readonly string[];
  readonly icon?: ReactNode;
  readonly on?: boolean;
  readonly disabled?: boolean;
  readonly run: () => void;
}

interface Props {
  readonly title: string;
  readonly note?: string;
  readonly actions: readonly Action[];
  readonly bar: ReactNode;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

export function Studio({ title, note, actions, bar, onClose, children }: Props): ReactElement {
  const element = useRef<HTMLDialogElement>(null);
  const [help, setHelp] = useState(false);
  const helping: Action = { label: 'Keys', keys: ['?', 'Shift+?'], icon: <Keyboard size={16} />, on: help, run: () => setHelp(!help) };
  const all = [...actions, helping];
  useEffect(() => {
    if (!element.current!.open) element.current!.showModal();
    element.current!.focus();
  }, []);
  const onKey = (event: KeyboardEvent): void => {
    event.stopPropagation();
    if (takesKey(event)) return;
    const names = pressed(event.nativeEvent);
    const found = all.find((action) => action.keys.some((keys) => names.includes(keys)));
    if (found === undefined) return;
    event.preventDefault();
    if (found.disabled !== true) found.run();
  };
  return (
    <dialog
      ref={element}
      className="studio"
      aria-label={title}
      tabIndex={-1}
      onKeyDown={onKey}
      onCancel={(event) => {
        event.preventDefault();
        if (help) setHelp(false);
        else onClose();
      }}
    >
      <header className="studio-bar">
        <h2 title={title}>{title}</h2>
        {note !== undefined && <small>{note}</small>}
        {bar}
        <Act action={helping} />
        <button type="button" className="tool" aria-label="Close" title="Close (Escape)" onClick={onClose}>
          <X size={16} />
        </button>
      </header>
      {children}
      {help && <Keys actions={all} />}
    </dialog>
  );
}

function Keys({ actions }: { readonly actions: readonly Action[] }): ReactElement {
  return (
    <aside className="studio-keys" aria-label="Keys">
      <dl>
        {actions
          .filter((action) => action.keys.length > 0)
          .map((action) => (
            <div key={action.label}>
              <dt>{action.label}</dt>
              <dd>
                <kbd>{shownKey(action.keys[0]!)}</kbd>
              </dd>
            </div>
          ))}
      </dl>
    </aside>
  );
}

const ARROWS: Readonly<Record<string, string>> = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓' };

function shownKey(keys: string): string {
  return keyName(keys.replace(/Arrow\w+/, (name) => ARROWS[name] ?? name).replace(/^Shift\+([{}?])$/, '$1'));
}

/** Fields and sliders have keys of their own, and a focused button is pressed by Enter and Space. */
function takesKey(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey) return target.matches('input:not([type=range]), textarea');
  if (target.matches('input[type=range], [role=slider]')) return /^(Arrow|Page|Home|End)/.test(event.key);
  if (target.matches('button')) return event.key === 'Enter' || event.key === ' ';
  return target.matches('input, textarea, select');
}

export function Act({ action, text }: { readonly action: Action; readonly text?: string }): ReactElement {
  const key = action.keys[0];
  const name = key === undefined ? action.label : `${action.label} (${shownKey(key)})`;
  return (
    <button
      type="button"
      className={`${text === undefined ? 'tool' : 'button small'}${action.on ? ' on' : ''}`}
      aria-label={action.label}
      {...(action.on === undefined ? {} : { 'aria-pressed': action.on })}
      title={name}
      disabled={action.disabled === true}
      onClick={action.run}
    >
      {action.icon}
      {text}
    </button>
  );
}
