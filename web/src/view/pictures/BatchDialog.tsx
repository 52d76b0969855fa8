/** What a batch varies: up to three inputs, and their values. */
import { Plus, X } from 'lucide-react';
import { type FormEvent, type ReactElement, useMemo, useState } from 'react';
import {
  type Axis,
  countOf,
  faultOfBatch,
  isByLine,
  MOST_AXES,
  parseValues,
  suggestion,
  type Values,
  type Variable,
  variablesOf,
} from '../../document/batch';
import { filesOf } from '../../state/actions';
import { startBatch } from '../../state/batches';
import { currentCatalog, currentDoc, show, useEditor } from '../../state/editor';
import { trail } from '../../state/inside';
import { Frame } from '../Frame';
import './pictures.css';

interface Row {
  readonly id: number;
  readonly variable: Variable;
  readonly text: string;
}

const PLACES = ['Columns', 'Rows', 'Sheets'] as const;

export function BatchDialog(): ReactElement {
  const variables = useMemo(() => {
    const path = trail(useEditor.getState()).map(({ name }) => `${name} › `);
    return variablesOf(currentDoc(), currentCatalog()).map((one) => ({ ...one, title: path.join('') + one.title }));
  }, []);
  const [rows, setRows] = useState<readonly Row[]>(() => variables.slice(0, 1).map((variable) => rowOf(variable, 0)));
  const parsed = rows.map((row) => parseValues(row.text, row.variable.spec, currentCatalog()));
  const axes = rows.map((row, i) => ({ ...row.variable, values: parsed[i]!.values }));
  const fault = parsed.some((one) => one.fault !== null) ? 'Some values are not right' : faultOfBatch(axes);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (fault === null) void startBatch(axes.map(({ node, input, title, values }) => ({ node, input, title, values })));
  };
  const put = (at: number, row: Row): void => setRows((now) => now.map((one, i) => (i === at ? row : one)));
  return (
    <Frame title="Run a batch" wide>
      {variables.length === 0 ? (
        <p className="quiet">Nothing can be varied: add a node with a value first.</p>
      ) : (
        <form onSubmit={submit} className="batch-form">
          {rows.map((row, i) => (
            <AxisRow
              key={row.id}
              place={PLACES[i]!}
              row={row}
              parsed={parsed[i]!}
              variables={variables}
              onChange={(next) => put(i, next)}
              onRemove={rows.length > 1 ? () => setRows((now) => now.filter((one) => one !== row)) : null}
            />
          ))}
          <div className="batch-more">
            {rows.length < Math.min(MOST_AXES, variables.length) && (
              <button
                type="button"
                className="button small"
                onClick={() => setRows((now) => [...now, rowOf(nextOf(variables, now), now.at(-1)!.id + 1)])}
              >
                <Plus size={13} /> Vary another input
              </button>
            )}
            <span className="batch-help">
              Numbers: <code>1..10/2</code> or <code>5, 7.5, 12</code> · others: <code>euler, heun</code> · texts: one a line
            </span>
          </div>
          <div className="buttons">
            <output className={fault === null ? 'batch-count' : 'batch-count wrong'} aria-live="polite">
              {fault ?? summary(axes)}
            </output>
            <button type="button" className="button" onClick={() => show(null)}>
              Cancel
            </button>
            <button type="submit" className="button primary" disabled={fault !== null}>
              Run {fault === null ? countOf(axes) : ''}
            </button>
          </div>
        </form>
      )}
    </Frame>
  );
}

function rowOf(variable: Variable, id: number): Row {
  return { id, variable, text: suggestion(variable) };
}

function nextOf(variables: readonly Variable[], rows: readonly Row[]): Variable {
  const free = variables.filter((one) => !rows.some((row) => row.variable === one) && one.spec.widget?.kind !== 'seed');
  return free[0] ?? variables.find((one) => !rows.some((row) => row.variable === one)) ?? variables[0]!;
}

function summary(axes: readonly Axis[]): string {
  const counts = axes.map((axis) => axis.values.length);
  const runs = countOf(axes) === 1 ? '1 run' : `${countOf(axes)} runs`;
  return counts.length > 1 ? `${counts.join(' × ')} = ${runs}` : runs;
}

interface AxisProps {
  readonly place: string;
  readonly row: Row;
  readonly parsed: Values;
  readonly variables: readonly Variable[];
  readonly onChange: (row: Row) => void;
  readonly onRemove: (() => void) | null;
}

function AxisRow({ place, row, parsed, variables, onChange, onRemove }: AxisProps): ReactElement {
  const { variable, text } = row;
  const setText = (next: string): void => onChange({ ...row, text: next });
  const common = {
    className: `field-input boxed${parsed.fault === null ? '' : ' wrong'}`,
    'aria-label': `Values of ${variable.title}`,
    'aria-invalid': parsed.fault !== null,
    spellCheck: false,
    value: text,
  };
  return (
    <fieldset className="batch-axis">
      <legend>{place}</legend>
      <select
        className="field-input boxed"
        aria-label={`Input for ${place.toLowerCase()}`}
        value={variables.indexOf(variable)}
        onChange={(event) => {
          const next = variables[Number(event.target.value)]!;
          onChange({ ...row, variable: next, text: suggestion(next) });
        }}
      >
        {variables.map((one, i) => (
          <option key={one.title + one.node} value={i}>
            {one.title}
          </option>
        ))}
      </select>
      <div className="batch-values">
        {isByLine(variable.spec) ? (
          <textarea {...common} rows={3} onChange={(event) => setText(event.target.value)} />
        ) : (
          <input {...common} onChange={(event) => setText(event.target.value)} />
        )}
        <Chips variable={variable} text={text} onChange={setText} />
        <small className={parsed.fault === null ? '' : 'wrong'}>{parsed.fault ?? shownValues(parsed)}</small>
      </div>
      <button
        type="button"
        className="mini"
        aria-label={`Do not vary ${variable.title}`}
        disabled={onRemove === null}
        onClick={onRemove ?? undefined}
      >
        <X size={14} />
      </button>
    </fieldset>
  );
}

function shownValues({ values }: Values): string {
  const shown = values.slice(0, 6).map(String).join(' · ');
  const count = values.length === 1 ? '1 value' : `${values.length} values`;
  return values.length === 0 ? 'no values yet' : `${count}: ${shown}${values.length > 6 ? ' …' : ''}`;
}

/** Choices and files as buttons that put themselves into the list and out of it. */
function Chips({
  variable,
  text,
  onChange,
}: {
  readonly variable: Variable;
  readonly text: string;
  readonly onChange: (text: string) => void;
}): ReactElement | null {
  const [files, setFiles] = useState<{ readonly of: Variable; readonly names: readonly string[] } | null>(null);
  const { spec } = variable;
  const isFile = spec.widget?.kind === 'model' || spec.widget?.kind === 'file';
  const names = spec.choices?.map(String) ?? (isFile && files?.of === variable ? files.names : []);
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
  if (isFile && files?.of !== variable) {
    return (
      <button
        type="button"
        className="button small"
        onClick={() => void filesOf(spec.folder ?? 'input').then((found) => setFiles({ of: variable, names: found }))}
      >
        Choose from what is there
      </button>
    );
  }
  if (names.length === 0) return null;
  return (
    <span className="chips">
      {names.slice(0, 60).map((name) => (
        <button
          type="button"
          key={name}
          className="chip"
          aria-pressed={parts.includes(name)}
          onClick={() => onChange((parts.includes(name) ? parts.filter((part) => part !== name) : [...parts, name]).join(', '))}
        >
          {name}
        </button>
      ))}
    </span>
  );
}
