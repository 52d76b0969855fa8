/** Saved workflows, and the queue with its history. */
import { ArrowUpToLine, FolderOpen, Pause, Play, RotateCcw, X } from 'lucide-react';
import { type ReactElement, useEffect, useState } from 'react';
import { api } from '../network/api';
import { attempt, openRun, openSaved, refreshQueue } from '../state/actions';
import { change, newTab, useEditor } from '../state/editor';
import { useRuns } from '../state/runs';
import type { Kept, Run, Version } from '../wire';
import { seconds } from './NodeView';
import { Tool } from './TopBar';

export function SidePanel(): ReactElement | null {
  const panel = useEditor((state) => state.panel);
  if (panel === null) return null;
  return (
    <aside className="side panel" aria-label={panel === 'files' ? 'Saved workflows' : 'Queue and history'}>
      <header>
        <h2>{panel === 'files' ? 'Saved workflows' : 'Queue and history'}</h2>
        <Tool label="Close" onClick={() => change({ panel: null })}>
          <X size={14} />
        </Tool>
      </header>
      {panel === 'files' ? <Files /> : <QueueList />}
    </aside>
  );
}

function Files(): ReactElement {
  const [files, setFiles] = useState<readonly Kept[] | null>(null);
  const [open, setOpen] = useState('');
  useEffect(() => {
    void attempt(() => api.workflows()).then((found) => setFiles(found ?? []));
  }, []);
  if (files === null) return <p className="quiet">Loading…</p>;
  if (files.length === 0) return <p className="quiet">Nothing is saved yet. Saved workflows keep all their versions here.</p>;
  return (
    <ul className="list">
      {files.map((file) => (
        <li key={file.name}>
          <button type="button" className="list-main" onClick={() => void openSaved(file.name)}>
            {file.thumbnail && <img src={file.thumbnail} alt="" />}
            <span>
              {file.name}
              <small>
                version {file.version} · {ago(file.modified)}
              </small>
            </span>
          </button>
          <Tool label={`Versions of ${file.name}`} onClick={() => setOpen(open === file.name ? '' : file.name)}>
            <RotateCcw size={13} />
          </Tool>
          {open === file.name && <VersionList name={file.name} />}
        </li>
      ))}
    </ul>
  );
}

function VersionList({ name }: { readonly name: string }): ReactElement {
  const [versions, setVersions] = useState<readonly Version[]>([]);
  useEffect(() => {
    void attempt(() => api.versions(name)).then((found) => setVersions(found ?? []));
  }, [name]);
  const open = async (number: number): Promise<void> => {
    const doc = await attempt(() => api.version(name, number));
    if (doc !== null) newTab({ ...doc, meta: { ...doc.meta, title: `${name}, version ${number}` } });
  };
  return (
    <ul className="versions">
      {versions.map((one) => (
        <li key={one.version}>
          <button type="button" onClick={() => void open(one.version)}>
            version {one.version} · {ago(one.modified)}
          </button>
        </li>
      ))}
    </ul>
  );
}

const REFRESH_MILLISECONDS = 2000;

function QueueList(): ReactElement {
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

function ago(time: number): string {
  const past = Math.max(0, Date.now() / 1000 - time);
  if (past < 60) return 'just now';
  if (past < 3600) return `${Math.round(past / 60)} min ago`;
  return past < 86400 ? `${Math.round(past / 3600)} h ago` : new Date(time * 1000).toLocaleDateString();
}
