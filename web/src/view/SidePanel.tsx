/** The panel beside the canvas: saved workflows, or the queue with its history. */
import { X } from 'lucide-react';
import type { ReactElement } from 'react';
import { change, useEditor } from '../state/editor';
import { FilesPanel } from './FilesPanel';
import { HistoryPanel } from './HistoryPanel';
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
      {panel === 'files' ? <FilesPanel /> : <HistoryPanel />}
    </aside>
  );
}
