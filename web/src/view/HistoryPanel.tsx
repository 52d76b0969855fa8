/** The queue, and what was run before. */
import './HistoryPanel.css';
import { ArrowDown, ArrowUp, ArrowUpToLine, Ban, CircleAlert, FolderOpen, Images, Pause, Play, RotateCw, Trash2, X } from 'lucide-react';
import { type DragEvent, type ReactElement, useCallback, useEffect, useRef, useState } from 'react';
import { api } from '../network/api';
import { smallAddress } from '../network/pictures';
import { openRun, refreshQueue } from '../state/actions';
import { doWith, ENDED, type Ended, moveRun, type Page, pageOf, withNewest, withOlder } from '../state/history';
import { picturesOfRun, viewRun } from '../state/pictures';
import { useRuns } from '../state/runs';
import type { Run } from '../wire';
import { ago } from './ago';
import { seconds } from './NodeParts';
import { SearchField } from './SearchField';
import { SureButton } from './SureButton';
import { Tool } from './TopBar';

const REFRESH_MILLISECONDS = 2000;
/** a search looks into every run */
const SEARCH_MILLISECONDS = 15_000;
const SETTLE_MILLISECONDS = 200;

export function HistoryPanel(): ReactElement {
  const queue = useRuns((state) => state.queue);
  const running = queue?.running ?? [];
  const waiting = queue?.pending ?? [];
  useRepeated(refreshQueue);
  return (
    <>
      <div className="side-tools">
        <button type="button" className="button small" onClick={() => void doWith(() => api.pause(!queue?.paused))}>
          {queue?.paused ? <Play size={13} /> : <Pause size={13} />} {queue?.paused ? 'Go on' : 'Pause'}
        </button>
        {waiting.length > 0 && (
          <button type="button" className="button small" onClick={() => void doWith(api.clearQueue)}>
            <Ban size={13} /> Cancel all waiting
          </button>
        )}
      </div>
      {queue?.paused && <p className="queue-paused">Paused: what runs goes on, nothing new is begun.</p>}
      {running.length > 0 && (
        <section aria-label="Running">
          <h3 className="side-title">Running</h3>
          <ul className="list">
            {running.map((run) => (
              <RunningItem key={run.id} run={run} />
            ))}
          </ul>
        </section>
      )}
      {waiting.length > 0 && <Waiting waiting={waiting} remaining={queue?.remaining ?? waiting.length} />}
      <History />
    </>
  );
}

/** Done at once and then again and again, while the page is looked at. */
function useRepeated(work: () => Promise<unknown>, milliseconds = REFRESH_MILLISECONDS): void {
  useEffect(() => {
    void work();
    const timer = setInterval(() => document.hidden || void work(), milliseconds);
    return () => clearInterval(timer);
  }, [work, milliseconds]);
}

function RunningItem({ run }: { readonly run: Run }): ReactElement {
  const state = useRuns((runs) => Object.values(runs.byTab).find((one) => one.run === run.id));
  const share = state !== undefined && state.total > 0 ? state.finished / state.total : null;
  return (
    <li className="run-item">
      <span className="run-thumb">
        <span className="spinner" />
      </span>
      <span className="run-words">
        <b>{run.title || 'Untitled'}</b>
        <small>{state !== undefined && state.total > 0 ? `${state.finished} of ${state.total} nodes` : 'running'}</small>
        <span className={share === null ? 'run-share unknown' : 'run-share'}>
          <span style={{ width: `${(share ?? 1) * 100}%` }} />
        </span>
      </span>
      <Tool label="Cancel" onClick={() => void doWith(() => api.cancel(run.id))}>
        <X size={14} />
      </Tool>
    </li>
  );
}

// ------------------------------------------------------------------------------------------------ waiting

function Waiting({ waiting, remaining }: { readonly waiting: readonly Run[]; readonly remaining: number }): ReactElement {
  const [dragged, setDragged] = useState<string | null>(null);
  const drop = (event: DragEvent, index: number): void => {
    event.preventDefault();
    const from = waiting.findIndex((run) => run.id === dragged);
    if (dragged !== null) void moveRun(waiting, dragged, from < index ? index - 1 : index);
    setDragged(null);
  };
  return (
    <section aria-label="Waiting">
      <h3 className="side-title">Waiting · {remaining}</h3>
      <ol className="list">
        {waiting.map((run, index) => (
          <li
            key={run.id}
            className={run.id === dragged ? 'run-item dragged' : 'run-item'}
            draggable
            onDragStart={() => setDragged(run.id)}
            onDragEnd={() => setDragged(null)}
            onDragOver={(event) => event.preventDefault()}
            onDrop={(event) => drop(event, index)}
          >
            <span className="run-thumb small">{index + 1}</span>
            <span className="run-words">
              <b>{run.title || 'Untitled'}</b>
              <small>{ago(run.created)}</small>
            </span>
            <span className="run-tools">
              <Tool label="Next" disabled={index === 0} onClick={() => void doWith(() => api.toFront(run.id))}>
                <ArrowUpToLine size={13} />
              </Tool>
              <Tool label="Earlier" disabled={index === 0} onClick={() => void moveRun(waiting, run.id, index - 1)}>
                <ArrowUp size={13} />
              </Tool>
              <Tool label="Later" disabled={index === waiting.length - 1} onClick={() => void moveRun(waiting, run.id, index + 1)}>
                <ArrowDown size={13} />
              </Tool>
              <Tool label="Cancel" onClick={() => void doWith(() => api.cancel(run.id))}>
                <X size={14} />
              </Tool>
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

// ------------------------------------------------------------------------------------------------ ended

const NAMES: Readonly<Record<Ended, string>> = { done: 'Done', failed: 'Failed', cancelled: 'Cancelled' };
const NOTHING: Page = { runs: [], total: 0 };

/** Runs that were found, and what was asked for. */
interface Answer {
  readonly to: string;
  readonly page: Page;
}

function History(): ReactElement {
  const [status, setStatus] = useState<Ended | null>(null);
  const [query, setQuery] = useState('');
  const search = useSettled(query.trim());
  const question = `${status} ${search}`;
  const [answer, setAnswer] = useState<Answer | null>(null);
  const page = answer?.to === question ? answer.page : null;
  const { runs, total } = page ?? NOTHING;
  const take = useCallback(
    (found: Page, join: (known: readonly Run[]) => Run[]): void =>
      setAnswer((last) => ({ to: question, page: { runs: join(last?.to === question ? last.page.runs : []), total: found.total } })),
    [question],
  );
  const newest = useCallback(async () => {
    const found = await pageOf(status, search, 0).catch(() => null);
    if (found !== null) take(found, (known) => withNewest(known, found.runs));
  }, [status, search, take]);
  useRepeated(newest, search === '' ? REFRESH_MILLISECONDS : SEARCH_MILLISECONDS);
  const more = async (): Promise<void> => {
    const found = await pageOf(status, search, runs.length).catch(() => null);
    if (found !== null) take(found, (known) => withOlder(known, found.runs));
  };
  const forget = async (run: Run): Promise<void> => {
    if (await doWith(() => api.forget(run.id))) take({ runs: [], total: total - 1 }, (known) => known.filter((one) => one.id !== run.id));
  };
  return (
    <section aria-label="History">
      <h3 className="side-title">History{total > 0 && ` · ${total}`}</h3>
      <SearchField label="Search the history" value={query} onChange={setQuery} />
      <fieldset className="chips" aria-label="Which runs">
        {[null, ...ENDED].map((one) => (
          <button type="button" key={one ?? ''} className="chip" aria-pressed={status === one} onClick={() => setStatus(one)}>
            {one === null ? 'All' : NAMES[one]}
          </button>
        ))}
      </fieldset>
      {page === null && <p className="quiet">Loading…</p>}
      {page !== null && runs.length === 0 && <p className="quiet">{emptyText(status, search)}</p>}
      <ul className="list">
        {runs.map((run) => (
          <EndedItem key={run.id} run={run} onForget={() => void forget(run)} />
        ))}
      </ul>
      {runs.length < total && <More key={runs.length} onSeen={() => void more()} />}
    </section>
  );
}

function emptyText(status: Ended | null, search: string): string {
  if (search !== '') return 'No run has all of these words in its title, prompts or files.';
  return status === null ? 'Nothing was run yet. What you run is kept here with its pictures.' : 'None.';
}

/** What was typed, once one stops typing. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), SETTLE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

/** Asks for more when it comes into view. */
function More({ onSeen }: { readonly onSeen: () => void }): ReactElement {
  const element = useRef<HTMLButtonElement>(null);
  const seen = useRef(onSeen);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && seen.current());
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return (
    <button type="button" ref={element} className="quiet more" onClick={onSeen}>
      Older ones…
    </button>
  );
}

function EndedItem({ run, onForget }: { readonly run: Run; readonly onForget: () => void }): ReactElement {
  const pictures = picturesOfRun(run);
  const title = run.title || 'Untitled';
  const time = run.started !== null && run.ended !== null ? seconds(run.ended - run.started) : '';
  const fault = run.error?.errors?.[0] ?? run.error;
  return (
    <li className="run-item ended">
      {pictures[0] === undefined ? (
        <span className={`run-thumb ${run.status}`}>{run.status === 'failed' ? <CircleAlert size={18} /> : <Images size={18} />}</span>
      ) : (
        <button type="button" className="run-thumb" aria-label={`Show the pictures of ${title}`} onClick={() => viewRun(run)}>
          <img src={smallAddress(pictures[0].url, 96)} alt="" loading="lazy" decoding="async" />
          {pictures.length > 1 && <span className="run-count">{pictures.length}</span>}
        </button>
      )}
      <button type="button" className="run-words" title="Open the workflow that made this" onClick={() => void openRun(run.id)}>
        <b>{title}</b>
        <small>
          <span className={`run-status ${run.status}`}>{run.status}</span>
          {[time, ago(run.ended ?? run.created)].filter(Boolean).map((text) => ` · ${text}`)}
        </small>
        {fault && run.status === 'failed' && <small className="run-fault">{fault.message}</small>}
      </button>
      <span className="run-tools">
        <Tool label="Open the workflow that made this" onClick={() => void openRun(run.id)}>
          <FolderOpen size={13} />
        </Tool>
        <Tool label="Run it again" onClick={() => void doWith(() => api.retry(run.id))}>
          <RotateCw size={13} />
        </Tool>
        <SureButton label="Forget this run" onSure={onForget}>
          <Trash2 size={13} />
        </SureButton>
      </span>
    </li>
  );
}
