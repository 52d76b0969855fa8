/** Says that the server does not answer, as long as it does not. */
import { CloudOff } from 'lucide-react';
import { type ReactElement, useSyncExternalStore } from 'react';
import { onLine, serverAnswers } from '../network/line';
import { useEditor } from '../state/editor';
import './away.css';

export function Away(): ReactElement | null {
  const away = !useSyncExternalStore(onLine, serverAnswers);
  const working = useEditor((state) => state.phase === 'ready');
  if (!away || !working) return null;
  return (
    <div className="away" role="status">
      <CloudOff size={14} aria-hidden />
      The server does not answer. Go on working: everything is kept in this browser, and it is tried again.
    </div>
  );
}
