/** The queue and what was run before. */
import { ArrowUpToLine, FolderOpen, Pause, Play, X } from 'lucide-react';
import { type ReactElement, useEffect } from 'react';
import { api } from '../network/api';
import { attempt, openRun, refreshQueue } from '../state/actions';
import { useRuns } from '../state/runs';
import type { Run } from '../wire';
import { ago } from './ago';
import { seconds } from './NodeView';
import { Tool } from './TopBar';

const REFRESH_MILLISECONDS = 2000;

export function HistoryPanel(): ReactElement {
  const { queue, history } = useRuns();
  useEffect(() => {
    void refreshQueue();
    const timer = setInterval(() => void refreshQueue(), REFRESH_MILLISECONDS);
    return () => clearInterval(timer);
  }, []);
  const pause = async (): Promise<void> => {
    await attempt(() => api.pause(!queue?.paused));
    await refreshQueue();
  };
  return (
    <>
      <div className="side-tools">
        <button type="button" className="button small" onClick={() => void pause()}>
          {queue?.paused ? <Play size={13} /> : <Pause size={13} />} {queue?.paused ? 'Go on' : 'Pause'}
        </button>
      </div>
      {history.length === 0 && <p className="quiet">Nothing was run yet.</p>}
      <ul className="list">
        {history.map((run) => (
          <RunItem key={run.id} run={run} />
        ))}
      </ul>
    </>
  );
}

function RunItem({ run }: { readonly run: Run }): ReactElement {
  const picture = pictureOf(run);
  const act = async (work: () => Promise<unknown>): Promise<void> => {
    await attempt(work);
    await refreshQueue();
  };
  const time = run.started !== null && run.ended !== null ? seconds(run.ended - run.started) : '';
  return (
    <li>
      <div className="list-main">
        {picture !== null ? <img src={picture} alt="" loading="lazy" /> : <span className={`run-dot ${run.status}`} />}
        <span>
          {run.title || 'Untitled'}
          <small>
            {run.status} {time} · {ago(run.created)}
          </small>
        </span>
      </div>
      {run.status === 'pending' && (
        <Tool label="To the front" onClick={() => void act(() => api.toFront(run.id))}>
          <ArrowUpToLine size={13} />
        </Tool>
      )}
      {(run.status === 'pending' || run.status === 'running') && (
        <Tool label="Cancel" onClick={() => void act(() => api.cancel(run.id))}>
          <X size={13} />
        </Tool>
      )}
      <Tool label="Open the workflow that made this" onClick={() => void openRun(run.id)}>
        <FolderOpen size={13} />
      </Tool>
    </li>
  );
}

function pictureOf(run: Run): string | null {
  for (const items of Object.values(run.outputs)) {
    for (const item of items) {
      const url = (item['file'] as { url?: string } | undefined)?.url;
      if (item['kind'] === 'image' && typeof url === 'string' && url.startsWith('/')) return `${url}&preview=webp;70`;
    }
  }
  return null;
}
