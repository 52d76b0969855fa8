/** About the selected node: what it is for, its inputs and outputs, and how its last run went and why. */
import { X } from 'lucide-react';
import { type ReactElement, useState } from 'react';
import type { Catalog, InputSpec, NodeSpec } from '../document/catalog';
import { get } from '../document/json';
import { typeName } from '../document/types';
import { api } from '../network/api';
import { attempt } from '../state/actions';
import { catalogOf, docOf, tabOf, useEditor } from '../state/editor';
import { showInfo, useInfo } from '../state/info';
import { prefixOf } from '../state/levels';
import { type NodeRun, useRuns } from '../state/runs';
import { Markdown } from '../widgets/Markdown';
import { bytes, seconds } from './NodeParts';
import './info.css';

export function InfoPanel(): ReactElement | null {
  const open = useInfo((state) => state.open);
  return open ? <Open /> : null;
}

function Open(): ReactElement {
  const id = useEditor((state) => [...state.selection].findLast((one) => Object.hasOwn(docOf(state).nodes, one)));
  const entry = useEditor((state) => get(docOf(state).nodes, id ?? ''));
  const catalog = useEditor(catalogOf);
  const spec = entry && catalog.spec(entry.type);
  return (
    <aside className="info panel" aria-label="About the node">
      <header>
        <h2>{entry === undefined ? 'Help' : entry.title || spec?.title || entry.type}</h2>
        <button type="button" className="mini" aria-label="Close" title="Close (F1)" onClick={() => showInfo(false)}>
          <X size={14} />
        </button>
      </header>
      <div className="info-body">
        {id === undefined || entry === undefined ? (
          <p className="quiet">Select a node to read what it does.</p>
        ) : (
          <>
            <LastRun key={id} id={id} />
            {spec === undefined ? (
              <p>
                <b>{entry.type}</b> is not installed here. The node is kept as it is.
              </p>
            ) : (
              <Help spec={spec} catalog={catalog} />
            )}
          </>
        )}
      </div>
    </aside>
  );
}

function Help({ spec, catalog }: { readonly spec: NodeSpec; readonly catalog: Catalog }): ReactElement {
  const notes = [spec.category, spec.pack, `version ${spec.version}`, spec.status === 'stable' ? '' : spec.status];
  return (
    <>
      <Markdown text={spec.description} />
      <p className="info-notes">{[spec.id, ...notes].filter(Boolean).join(' · ')}</p>
      <Ends title="Inputs" ends={Object.entries(spec.inputs)} catalog={catalog} />
      <Ends title="Outputs" ends={Object.entries(spec.outputs)} catalog={catalog} />
    </>
  );
}

interface EndsProps {
  readonly title: string;
  readonly ends: readonly (readonly [string, Partial<InputSpec> & { readonly type: string }])[];
  readonly catalog: Catalog;
}

function Ends({ title, ends, catalog }: EndsProps): ReactElement | null {
  if (ends.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <dl>
        {ends.map(([name, end]) => {
          const type = catalog.parse(end.type);
          return (
            <div key={name}>
              <dt>
                <span className="info-dot" style={{ background: catalog.color(type) }} />
                {name.replaceAll('_', ' ')} <small>{typeName(type)}</small>
              </dt>
              <dd>
                {end.tooltip !== undefined && <Markdown text={end.tooltip} />}
                <small>{limits(end)}</small>
              </dd>
            </div>
          );
        })}
      </dl>
    </section>
  );
}

function limits(end: Partial<InputSpec>): string {
  const { minimum, maximum, choices } = end;
  const range =
    minimum !== undefined && maximum !== undefined ? `${minimum} to ${maximum}` : minimum !== undefined ? `from ${minimum}` : '';
  const preset =
    end.default === undefined || end.default === null || end.default === '' ? '' : `default ${String(end.default).slice(0, 60)}`;
  const needed = end.required === true && end.widget === undefined ? 'must be connected' : '';
  const list = choices === undefined ? '' : `one of ${choices.slice(0, 24).join(', ')}${choices.length > 24 ? '…' : ''}`;
  return [range, list, preset, needed].filter(Boolean).join(' · ');
}

function LastRun({ id }: { readonly id: string }): ReactElement | null {
  const state = useRuns((runs) => runs.byTab[useEditor.getState().active]);
  const full = prefixOf(tabOf(useEditor.getState())) + id;
  const run = get(state?.nodes, full);
  const [told, setTold] = useState<{ readonly run: string; readonly reasons: readonly string[] } | null>(null);
  if (state === undefined) return null;
  const ask = async (): Promise<void> => {
    const found = await attempt(() => api.explain(state.run));
    const mine = found?.nodes.find((one) => one.node === full);
    if (found !== null) setTold({ run: state.run, reasons: mine?.reasons.length ? mine.reasons : ['nothing is known of it'] });
  };
  return (
    <section className="last-run">
      <h3>Last run</h3>
      <p>{run === undefined ? 'not run: nothing needed it' : words(run)}</p>
      {run?.error !== undefined && <p className="wrong-text">{run.error.message}</p>}
      {told?.run === state.run ? (
        <ul aria-label="Why">
          {told.reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      ) : (
        <button type="button" className="button small" onClick={() => void ask()}>
          {run === undefined || run.status === 'cached' ? 'Why was it not run?' : 'Why was it run?'}
        </button>
      )}
    </section>
  );
}

function words(run: NodeRun): string {
  switch (run.status) {
    case 'queued':
      return 'waits for its turn';
    case 'running':
      return run.total ? `running, ${run.value} of ${run.total}` : 'running';
    case 'cached':
      return 'not run: its result was known';
    case 'failed':
      return 'failed';
    case 'blocked':
      return run.text ?? 'left out';
    case 'done': {
      const time = run.seconds === undefined ? '' : `ran for ${seconds(run.seconds) || 'less than 10 ms'}`;
      return [time, run.nbytes ? `its results take ${bytes(run.nbytes)} of memory` : ''].filter(Boolean).join(', ') || 'done before';
    }
  }
}
