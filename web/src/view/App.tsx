import './notices.css';
import { ReactFlowProvider } from '@xyflow/react';
import type { ReactElement } from 'react';
import { dismiss, docOf, show, useEditor } from '../state/editor';
import { Away } from './Away';
import { CanvasView } from './CanvasView';
import { ContextMenu } from './ContextMenu';
import { Dialogs } from './Dialogs';
import { InfoPanel } from './InfoPanel';
import { LevelBar } from './LevelBar';
import { PaletteView } from './PaletteView';
import { Problems } from './Problems';
import { QuickList } from './QuickList';
import { SidePanel } from './SidePanel';
import './small.css';
import { Tips } from './Tips';
import { TopBar } from './TopBar';

export function App(): ReactElement {
  const phase = useEditor((state) => state.phase);
  return (
    <ReactFlowProvider>
      <div className="app">
        <TopBar />
        <Away />
        <main className="middle">
          <SidePanel />
          <div className="stage">
            {phase === 'ready' ? <CanvasView /> : <Waiting failed={phase === 'failed'} />}
            {phase === 'ready' && <EmptyHint />}
            <LevelBar />
            <Problems />
          </div>
          {phase === 'ready' && <InfoPanel />}
        </main>
        <PaletteView />
        <ContextMenu />
        <QuickList />
        <Dialogs />
        <Notices />
        <Tips />
      </div>
    </ReactFlowProvider>
  );
}

function Waiting({ failed }: { readonly failed: boolean }): ReactElement {
  return (
    <div className="hint" role="status">
      <span className="spinner" />
      <p>{failed ? 'The server does not answer yet; it is tried again by itself.' : 'Loading the nodes…'}</p>
    </div>
  );
}

function EmptyHint(): ReactElement | null {
  const empty = useEditor((state) => Object.keys(docOf(state).nodes).length === 0);
  if (!empty) return null;
  return (
    <div className="hint">
      <h2>An empty canvas</h2>
      <p>
        Double-click or press <kbd>Tab</kbd> to add a node, drop a workflow or a picture here, or begin with
      </p>
      <button type="button" className="button" onClick={() => show({ kind: 'gallery' })}>
        a template
      </button>
    </div>
  );
}

function Notices(): ReactElement {
  const notices = useEditor((state) => state.notices);
  return (
    <div className="notices" role="status" aria-live="polite">
      {notices.map((notice) => (
        <div key={notice.id} className={`notice ${notice.tone}`}>
          <button type="button" title="Dismiss" className="notice-text" onClick={() => dismiss(notice.id)}>
            <span>{notice.text}</span>
            {notice.hint && <small>{notice.hint}</small>}
          </button>
          {notice.action && (
            <button
              type="button"
              className="button small"
              onClick={() => {
                notice.action?.run();
                dismiss(notice.id);
              }}
            >
              {notice.action.label}
            </button>
          )}
        </div>
      ))}
    </div>
  );
}
