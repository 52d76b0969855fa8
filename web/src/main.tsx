/** Wiring only. */
import '@xyflow/react/dist/style.css';
import './style.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { attachKeys } from './gestures/keys';
import { start } from './state/actions';
import { attachAutorun } from './state/autorun';
import { startBatches } from './state/batchMemory';
import { watchConnection } from './state/connection';
import { freshenTabs, keepThumbnails } from './state/files';
import { startLastRuns } from './state/lastRuns';
import { loadMine } from './state/mine';
import { startPreferences } from './state/preferences';
import { App } from './view/App';
import { Catcher } from './view/Catcher';

startPreferences();
attachKeys();
attachAutorun();
startBatches();
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Catcher>
      <App />
    </Catcher>
  </StrictMode>,
);
keepThumbnails();
void start().then(watchConnection).then(freshenTabs).then(loadMine).then(startLastRuns);
