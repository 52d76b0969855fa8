/** Where in the subgraphs one is, with the way out, and the ports of the one that is looked at. */
import { ArrowDown, ArrowUp, ChevronDown, ChevronRight, ChevronUp, CornerLeftUp, X } from 'lucide-react';
import { Fragment, type KeyboardEvent, type ReactElement, useState } from 'react';
import { useShallow } from 'zustand/react/shallow';
import { movePort, removePort, renamePort, type Side } from '../document/edits/subgraphs';
import { get } from '../document/json';
import { asLink, type Definition, isBorder } from '../document/model';
import { catalogOf, docOf, goToLevel, historyOf, perform, tabOf, titleOfTab, useEditor } from '../state/editor';
import { expose, leaveLevel, renameLevel, trail } from '../state/inside';
import { levelOf } from '../state/levels';
import './level.css';

export function LevelBar(): ReactElement | null {
  const names = useEditor(useShallow((state) => trail(state).map((one) => one.name)));
  const at = useEditor((state) => tabOf(state)?.at);
  const title = useEditor((state) => {
    const tab = tabOf(state);
    return tab === undefined ? '' : titleOfTab(tab);
  });
  const level = useEditor((state) => {
    const tab = tabOf(state);
    return tab === undefined ? null : levelOf(tab);
  });
  const definition = useEditor((state) => (level === null ? undefined : get(historyOf(state).doc.subgraphs, level)));
  const [open, setOpen] = useState(true);
  if (level === null || definition === undefined || at === undefined) return null;
  return (
    <aside className="level own-keys" aria-label="Subgraph">
      <nav aria-label="Where you are">
        <button type="button" className="mini" title="Leave the subgraph (U)" aria-label="Leave the subgraph" onClick={leaveLevel}>
          <CornerLeftUp size={14} />
        </button>
        <button type="button" className="crumb" onClick={() => goToLevel([])}>
          {title}
        </button>
        {names.slice(0, -1).map((name, i) => (
          <Fragment key={at.slice(0, i + 1).join('/')}>
            <ChevronRight size={12} />
            <button type="button" className="crumb" onClick={() => goToLevel(at.slice(0, i + 1))}>
              {name}
            </button>
          </Fragment>
        ))}
        <ChevronRight size={12} />
        <Field label="Name of the subgraph" value={definition.name} onDone={(name) => renameLevel(level, name)} />
        <button type="button" className="mini" aria-expanded={open} aria-label="Inputs and outputs" onClick={() => setOpen(!open)}>
          {open ? <ChevronUp size={14} /> : <ChevronDown size={14} />}
        </button>
      </nav>
      {open && (
        <>
          <div className="ports">
            <Ports id={level} side="inputs" definition={definition} />
            <Ports id={level} side="outputs" definition={definition} />
          </div>
          <Exposing />
        </>
      )}
    </aside>
  );
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onDone: (text: string) => void;
}

/** A text that is taken over when one leaves it or presses Enter. */
function Field({ label, value, onDone }: FieldProps): ReactElement {
  const [text, setText] = useState<string | null>(null);
  const finish = (): void => {
    if (text !== null && text.trim() !== value) onDone(text.trim());
    setText(null);
  };
  const onKey = (event: KeyboardEvent<HTMLInputElement>): void => {
    if (event.key === 'Escape') setText(null);
    if (event.key === 'Enter') event.currentTarget.blur();
  };
  return (
    <input
      aria-label={label}
      value={text ?? value}
      onChange={(event) => setText(event.target.value)}
      onBlur={finish}
      onKeyDown={onKey}
      spellCheck={false}
    />
  );
}

interface PortsProps {
  readonly id: string;
  readonly side: Side;
  readonly definition: Definition;
}

function Ports({ id, side, definition }: PortsProps): ReactElement {
  const catalog = useEditor(catalogOf);
  const ports = definition[side];
  return (
    <section aria-label={side === 'inputs' ? 'Inputs' : 'Outputs'}>
      <h3>{side === 'inputs' ? 'Inputs' : 'Outputs'}</h3>
      {ports.length === 0 && (
        <p>{side === 'inputs' ? 'Drag an input onto the node “Inputs”.' : 'Drag an output onto the node “Outputs”.'}</p>
      )}
      <ul>
        {ports.map((port, i) => (
          <li key={port.name}>
            <span className="port-dot" style={{ background: catalog.color(catalog.parse(port.type)) }} title={port.type} />
            <Field
              label={`Name of the port ${port.name}`}
              value={port.name}
              onDone={(name) => perform('Rename a port', (edit) => renamePort(edit, id, side, port.name, name))}
            />
            <button
              type="button"
              className="mini"
              disabled={i === 0}
              aria-label={`Move ${port.name} up`}
              onClick={() => perform('Order the ports', (edit) => movePort(edit, id, side, port.name, -1))}
            >
              <ArrowUp size={12} />
            </button>
            <button
              type="button"
              className="mini"
              disabled={i === ports.length - 1}
              aria-label={`Move ${port.name} down`}
              onClick={() => perform('Order the ports', (edit) => movePort(edit, id, side, port.name, 1))}
            >
              <ArrowDown size={12} />
            </button>
            <button
              type="button"
              className="mini"
              aria-label={`Remove the port ${port.name}`}
              onClick={() => perform('Remove a port', (edit) => removePort(edit, id, side, port.name))}
            >
              <X size={12} />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Settings of the selected node that can be made settable from outside. */
function Exposing(): ReactElement | null {
  const doc = useEditor(docOf);
  const catalog = useEditor(catalogOf);
  const chosen = useEditor((state) => state.selection);
  const [node, ...others] = [...chosen].filter((id) => Object.hasOwn(doc.nodes, id));
  const entry = get(doc.nodes, node ?? '');
  const spec = entry && catalog.spec(entry.type);
  if (node === undefined || others.length > 0 || entry === undefined || spec === undefined || isBorder(entry)) return null;
  const free = Object.keys(spec.inputs).filter((name) => asLink(get(entry.inputs, name)) === null);
  if (free.length === 0) return null;
  return (
    <section className="exposing" aria-label="Make settable from outside">
      <h3>Add {entry.title || spec.title} as inputs</h3>
      {free.map((name) => (
        <button type="button" key={name} className="chip" onClick={() => expose(node, name)}>
          {name.replaceAll('_', ' ')}
        </button>
      ))}
    </section>
  );
}
